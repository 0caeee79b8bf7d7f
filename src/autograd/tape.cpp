#include <algorithm>
#include <cstring>
#include <queue>
#include <unordered_map>

#include "autograd/record.h"
#include "base/require.h"
#include "base/thread_pool.h"

namespace mynah {
namespace {

thread_local bool recording = true;
std::atomic<uint64_t> next_id{1};

// A tape node. Ids grow with time, so going through nodes by falling id is a topological order, and always the same one.
struct Node : GradEdge {
  uint64_t id = next_id.fetch_add(1, std::memory_order_relaxed);
  std::vector<Ref<GradEdge>> inputs;                      // edges of the recorded inputs; null where untracked
  std::function<Grads(const Tensor&)> backward;           // empty for a leaf
  std::function<Tensor(const Tensor&)> view;              // of a view of the one input
  Tensor gradient;                                        // of a leaf
  Shape shape;
};

Node* node_of(const Tensor& t) { return static_cast<Node*>(t.edge().get()); }

// a += b for contiguous f32.
void add_into(Tensor& a, const Tensor& b) {
  float* p = a.data<float>();
  const float* q = b.data<float>();
  parallel_for(a.numel(), 1 << 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) p[i] += q[i];
  });
}

// Keeps a sum: the first gradient is taken as it is (and not owned), the second makes a copy that later ones are added to.
struct Sum {
  Tensor value;
  bool owned = false;
  void add(const Tensor& g) {
    MYNAH_CHECK(g.dtype() == DType::f32 && g.is_contiguous());
    if (!value.defined()) {
      value = g;
      return;
    }
    if (!owned) {
      Tensor copy = Tensor::empty(value.shape());
      std::memcpy(copy.raw(), value.raw(), value.nbytes());
      value = copy;
      owned = true;
    }
    add_into(value, g);
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

GradientSum gradient_sum(const Tensor& t) {
  if (!t.requires_grad()) return {{}, false};
  std::vector<const Node*> views;
  Node* node = node_of(t);
  while (node->view) {
    views.push_back(node);
    node = static_cast<Node*>(node->inputs[0].get());
  }
  if (node->backward) return {{}, false};
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
  sums[node_of(y)].add(start);
  todo.push(node_of(y));
  while (!todo.empty()) {
    Node* node = todo.top();
    todo.pop();
    auto entry = sums.extract(node);
    Tensor& gradient = entry.mapped().value;
    if (!node->backward) {
      if (!node->gradient.defined()) {
        Tensor copy = Tensor::empty(gradient.shape());  // never an alias of another leaf's gradient
        std::memcpy(copy.raw(), gradient.raw(), gradient.nbytes());
        node->gradient = copy;
      } else {
        add_into(node->gradient, gradient);
      }
      continue;
    }
    Grads grads = node->backward(gradient);
    MYNAH_CHECK(grads.size() == node->inputs.size());
    for (size_t i = 0; i < grads.size(); ++i) {
      auto* input = static_cast<Node*>(node->inputs[i].get());
      if (!input || !grads[i].defined()) continue;
      MYNAH_CHECK(grads[i].shape() == input->shape);
      const auto [position, inserted] = sums.try_emplace(input);
      position->second.add(grads[i]);
      if (inserted) todo.push(input);
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
