#include "nn/recompute.h"

#include "base/require.h"
#include "kernels/rows.h"

namespace mynah::nn {
namespace {
thread_local LayerWatch* watch = nullptr;
}

LayerWatch::LayerWatch() : before_(watch) { watch = this; }
LayerWatch::~LayerWatch() { watch = before_; }

void LayerWatch::see(const Tensor& y) {
  if (!watch) return;
  const Tensor all = contiguous(y.detach());
  if (watch->first_bad_ < 0 && kernels::rows().any_nonfinite(all.data<float>(), all.numel())) watch->first_bad_ = watch->layers_;
  ++watch->layers_;
}

// Tensors of the batch that gradients go through are inputs. Routers' logits are a result beside the rows: they come out as further columns.
Tensor recomputed_layer(LayerCall f, const Tensor& x, const Tensor& shared, const TokenBatch& batch) {
  MYNAH_CHECK(batch.caches.empty() && batch.memory_caches.empty());
  const auto own = std::make_shared<TokenBatch>(batch);
  own->memory = {};
  const Tensor all = recomputed(
      [f = std::move(f), own](const std::vector<Tensor>& in) {
        TokenBatch b = *own;
        b.memory = in[2];
        std::vector<Tensor> routed;
        if (b.router_logits) b.router_logits = &routed;
        const Tensor y = f(in[0], in[1], b);
        if (routed.empty()) return y;
        routed.insert(routed.begin(), y);
        return cat(routed, 1);
      },
      {x, shared, batch.memory});
  const int64_t width = x.size(1);
  if (all.size(1) == width) return all;
  batch.router_logits->push_back(narrow(all, 1, width, all.size(1) - width));
  return narrow(all, 1, 0, width);
}

}  // namespace mynah::nn
