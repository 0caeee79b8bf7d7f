#include <algorithm>
#include <cstring>
#include <queue>
#include <unordered_map>

#include "autograd/record.h"
#include "base/require.h"
#include "base/thread_pool.h"
#include "kernels/rows.h"

namespace mynah {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements per piece of work

thread_local bool recording = true;
std::atomic<uint64_t> next_id{1};

// A tape node. Ids grow with time, so going through nodes by falling id is a topological order, and always the same one.
struct Node : GradEdge {
  uint64_t id = next_id.fetch_add(1, std::memory_order_relaxed);
  std::vector<Ref<GradEdge>> inputs;                      // edges of the recorded inputs; null where untracked
  std::function<Grads(const Tensor&)> backward;           // empty for a leaf and a part
  std::function<Tensor(const Tensor&)> view;              // of a view of the one input
  Tensor gradient;                                        // of a leaf
  Shape shape;
  int64_t offset = -1;                                    // of a part of the one input: its place there
  Shape strides;
  bool is_part() const { return offset >= 0; }
  bool is_leaf() const { return !backward && !is_part(); }
};

Node* node_of(const Tensor& t) { return static_cast<Node*>(t.edge().get()); }

// to = a + b for contiguous f32; `to` may be a.
void add_into(Tensor& to, const Tensor& a, const Tensor& b) {
  float* out = to.data<float>();
  const float *p = a.data<float>(), *q = b.data<float>();
  parallel_for(a.numel(), kGrain, [&](int64_t begin, int64_t end) { kernels::rows().binary(kernels::Binary::add, p + begin, q + begin, out + begin, end - begin); });
}

Tensor zeros(const Shape& shape) {
  Tensor t = Tensor::empty(shape);
  float* p = t.data<float>();
  parallel_for(t.numel(), kGrain, [&](int64_t begin, int64_t end) { std::fill(p + begin, p + end, 0.0f); });
  return t;
}

// The elements of `to` that the part names += g.
void add_part(Tensor& to, const Node& part, const Tensor& g) {
  const int r = g.rank();
  const int64_t inner = r == 0 ? 1 : g.size(-1), step = r == 0 ? 1 : part.strides[r - 1], outer = inner ? g.numel() / inner : 0;
  float* out = to.data<float>() + part.offset;
  const float* from = g.data<float>();
  parallel_for(outer, std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(inner, 1)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t at = 0, rest = row;
      for (int d = r - 2; d >= 0; --d) {
        at += rest % g.size(d) * part.strides[d];
        rest /= g.size(d);
      }
      float* place = out + at;
      const float* own = from + row * inner;
      if (step == 1) kernels::rows().binary(kernels::Binary::add, place, own, place, inner);
      else
        for (int64_t i = 0; i < inner; ++i) place[i * step] += own[i];
    }
  });
}

// Keeps a sum: the first gradient is taken as it is (and not owned), the second makes a tensor of its own that later ones are added to.
struct Sum {
  Tensor value;
  bool owned = false;
  void add(const Tensor& g) {
    MYNAH_CHECK(g.dtype() == DType::f32 && g.is_contiguous());
    if (!value.defined()) {
      value = g;
      return;
    }
    Tensor sum = owned ? value : Tensor::empty(value.shape());
    add_into(sum, value, g);
    value = sum;
    owned = true;
  }
  void add(const Node& part, const Tensor& g, const Shape& shape) {
    MYNAH_CHECK(g.dtype() == DType::f32 && g.is_contiguous());
    if (!value.defined()) {
      value = zeros(shape);
    } else if (!owned) {
      Tensor copy = Tensor::empty(value.shape());
      std::memcpy(copy.raw(), value.raw(), value.nbytes());
      value = copy;
    }
    owned = true;
    add_part(value, part, g);
  }
};

struct LaterFirst {
  bool operator()(const Node* a, const Node* b) const { return a->id < b->id; }
};

}  // namespace

NoGrad::NoGrad() : before_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = before_; }
bool grad_enabled() { return recording; }

Tensor requires_grad(const Tensor& x) {
  require(x.dtype() == DType::f32, "requires_grad: a {} tensor, only f32 leaves can be trained", name(x.dtype()));
  Tensor leaf = x.detach();
  auto* node = new Node;
  node->shape = x.shape();
  leaf.set_edge(Ref<GradEdge>(node));
  return leaf;
}

Tensor grad(const Tensor& leaf) { return leaf.requires_grad() ? node_of(leaf)->gradient : Tensor(); }
void zero_grad(const Tensor& leaf) {
  if (leaf.requires_grad()) node_of(leaf)->gradient = Tensor();
}
void set_grad(const Tensor& leaf, const Tensor& gradient) {
  require(leaf.requires_grad(), "set_grad: the tensor is not tracked");
  node_of(leaf)->gradient = gradient;
}

Tensor record(Tensor y, std::vector<Tensor> inputs, std::function<Grads(const Tensor&)> backward) {
  if (!recording) return y;
  bool any = false;
  for (const Tensor& t : inputs) any = any || t.requires_grad();
  if (!any) return y;
  auto* node = new Node;
  Ref<GradEdge> edge(node);
  node->shape = y.shape();
  node->backward = std::move(backward);
  node->inputs.reserve(inputs.size());
  for (const Tensor& t : inputs) node->inputs.push_back(t.edge());
  y.set_edge(std::move(edge));
  return y;
}

Tensor record_view(Tensor y, const Tensor& x, std::function<Grads(const Tensor&)> backward, std::function<Tensor(const Tensor&)> view) {
  y = record(std::move(y), {x}, std::move(backward));
  if (y.requires_grad()) node_of(y)->view = std::move(view);
  return y;
}

Tensor record_part(Tensor y, const Tensor& x, int64_t offset, const Shape& strides) {
  y = record(std::move(y), {x}, {});
  if (y.requires_grad() && recording) {
    node_of(y)->offset = offset;
    node_of(y)->strides = strides;
  }
  return y;
}

Whole whole_of(std::span<const Tensor> parts) {
  Whole whole;
  Ref<GradEdge> edge;  // of the matrix
  int64_t columns = 0;
  for (const Tensor& t : parts) {
    if (!t.requires_grad()) return {};
    const Node* part = node_of(t);
    while (part->view) part = static_cast<const Node*>(part->inputs[0].get());
    if (!part->is_part() || (edge && part->inputs[0].get() != edge.get())) return {};
    edge = part->inputs[0];
    // All rows, and the columns that come next.
    const Shape& shape = static_cast<const Node*>(edge.get())->shape;
    const bool next = shape.rank() == 2 && part->shape.rank() == 2 && part->shape[0] == shape[0] && part->strides == contiguous_strides(shape) && part->offset == columns;
    if (!next || t.numel() != part->shape.numel() || t.stride(0) != shape[1] || t.size(0) != shape[0]) return {};
    whole.columns.push_back(columns);
    columns += part->shape[1];
  }
  if (!edge) return {};
  const Shape& shape = static_cast<const Node*>(edge.get())->shape;
  if (columns != shape[1]) return {};
  whole.matrix = parts[0].as_strided(shape, contiguous_strides(shape));
  whole.matrix.set_edge(edge);
  return whole;
}

GradientSum gradient_sum(const Tensor& t) {
  if (!t.requires_grad()) return {{}, false};
  std::vector<const Node*> views;
  Node* node = node_of(t);
  while (node->view) {
    views.push_back(node);
    node = static_cast<Node*>(node->inputs[0].get());
  }
  if (!node->is_leaf()) return {{}, false};
  const bool empty = !node->gradient.defined();
  if (empty) node->gradient = Tensor::empty(node->shape);
  Tensor sum = node->gradient;
  for (auto view = views.rbegin(); view != views.rend(); ++view) sum = (*view)->view(sum);
  return {sum, empty};
}

void backward(const Tensor& y, const Tensor& seed) {
  require(y.requires_grad(), "backward: the tensor depends on nothing that is tracked");
  Tensor start = seed;
  if (!start.defined()) {
    require(y.numel() == 1, "backward: shape {}, without a seed the tensor must be a scalar", y.shape().str());
    start = Tensor::full(y.shape(), 1.0f);
  }
  require(start.shape() == y.shape(), "backward: seed {}, tensor {}", start.shape().str(), y.shape().str());
  NoGrad no_grad;
  std::unordered_map<Node*, Sum> sums;
  std::priority_queue<Node*, std::vector<Node*>, LaterFirst> todo;
  const auto sum_of = [&](Node* node) -> Sum& {
    const auto [position, inserted] = sums.try_emplace(node);
    if (inserted) todo.push(node);
    return position->second;
  };
  sum_of(node_of(y)).add(start);
  while (!todo.empty()) {
    Node* node = todo.top();
    todo.pop();
    auto entry = sums.extract(node);
    Tensor& gradient = entry.mapped().value;
    if (node->is_part()) {
      auto* input = static_cast<Node*>(node->inputs[0].get());
      sum_of(input).add(*node, gradient, input->shape);
      continue;
    }
    if (!node->backward) {
      if (!node->gradient.defined()) {
        Tensor copy = Tensor::empty(gradient.shape());  // never an alias of another leaf's gradient
        std::memcpy(copy.raw(), gradient.raw(), gradient.nbytes());
        node->gradient = copy;
      } else {
        add_into(node->gradient, node->gradient, gradient);
      }
      continue;
    }
    Grads grads = node->backward(gradient);
    MYNAH_CHECK(grads.size() == node->inputs.size());
    for (size_t i = 0; i < grads.size(); ++i) {
      auto* input = static_cast<Node*>(node->inputs[i].get());
      if (!input || !grads[i].defined()) continue;
      MYNAH_CHECK(grads[i].shape() == input->shape);
      sum_of(input).add(grads[i]);
    }
  }
}

Tensor checkpoint(const std::function<Tensor(const std::vector<Tensor>&)>& f, const std::vector<Tensor>& inputs) {
  if (!recording) return f(inputs);
  const auto as_leaves = [inputs] {
    std::vector<Tensor> leaves;
    for (const Tensor& x : inputs) leaves.push_back(x.requires_grad() ? requires_grad(x) : x);
    return leaves;
  };
  // Recorded like the second time, so that ops take the same ways, and forgotten at once.
  Tensor y = f(as_leaves());
  if (!y.requires_grad()) return y;
  y = y.detach();
  // The result may depend on parameters alone, so a tracked stand-in always joins the inputs.
  std::vector<Tensor> recorded = inputs;
  recorded.push_back(requires_grad(Tensor::zeros({1})));
  return record(y, recorded, [f, as_leaves](const Tensor& g) {
    const std::vector<Tensor> again = as_leaves();
    const bool before = std::exchange(recording, true);
    Tensor y2;
    try {
      y2 = f(again);
      backward(y2, g);
    } catch (...) {
      recording = before;
      throw;
    }
    recording = before;
    Grads grads;
    for (const Tensor& x : again) grads.push_back(x.requires_grad() ? grad(x) : Tensor());
    grads.emplace_back();
    return grads;
  });
}

}  // namespace mynah
