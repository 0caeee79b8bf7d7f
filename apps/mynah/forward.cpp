// mynah forward MODEL --input x.safetensors --output y.safetensors: the reference implementation's forward pass, by its names.
#include <CLI/CLI.hpp>

#include "base/require.h"
#include "bundle/bundle.h"
#include "command.h"
#include "formats/safetensors.h"
#include "mynah/autograd.h"
#include "open_model.h"

namespace mynah::app {
namespace {

struct Options {
  std::string model, input, output, dtype;
  bool grad = false, hidden_states = false;
};

int act(const Options& o) {
  if (o.input.empty() || o.output.empty()) fail(ErrorCode::usage, "forward: --input FILE and --output FILE are needed");
  const auto file = formats::SafetensorsFile::open(o.input);
  nn::NamedTensors inputs;
  for (const auto& info : file->tensors()) inputs[info.name] = file->tensor(info.name);
  if (o.grad && !inputs.count("labels")) fail(ErrorCode::usage, "forward: --grad needs a loss; add labels to {}", o.input);
  LoadOptions load;
  load.precision = o.dtype.empty() ? Precision::f32 : parse_precision(o.dtype);
  load.trainable = o.grad;
  const Model model = open_model(o.model, load, /*text=*/false);
  const bundle::Bundle& b = model.bundle();
  std::vector<formats::OutputTensor> out;
  const auto compute = [&] {
    const nn::NamedTensors results = b.network->forward(inputs, {o.hidden_states});
    for (const auto& [name, tensor] : results) out.emplace_back(name, contiguous(tensor.detach()));
    return results;
  };
  if (o.grad) {
    const auto results = compute();
    backward(results.at("loss"));
    for (const nn::Parameter& p : b.weights.parameters)
      if (const Tensor g = grad(p.value); g.defined()) out.emplace_back("grad." + p.disk_name, contiguous(p.to_disk ? p.to_disk(g) : g));
  } else {
    NoGrad no_grad;
    compute();
  }
  formats::write_safetensors(o.output, out);
  return 0;
}

}  // namespace

void add_forward(CLI::App& parent, std::function<int()>& action) {
  CLI::App* c = parent.add_subcommand("forward", "Run a model on named tensors and write its outputs, hidden states and gradients");
  auto o = std::make_shared<Options>();
  c->add_option("model", o->model, "folder, .gguf file or name")->required()->type_name("MODEL");
  c->add_option("--input", o->input, "safetensors file: input_ids, attention_mask, labels ...")->type_name("FILE");
  c->add_option("--output", o->output, "safetensors file to write: logits, loss, hidden_states.N, grad.NAME")->type_name("FILE");
  c->add_option("--dtype", o->dtype, "f32 (default), or stored: as the file holds the weights")->type_name("TYPE");
  c->add_flag("--grad", o->grad, "add the gradient of the loss for every parameter");
  c->add_flag("--hidden-states", o->hidden_states, "add hidden_states.N");
  c->callback([o, &action] { action = [o] { return act(*o); }; });
}

}  // namespace mynah::app
