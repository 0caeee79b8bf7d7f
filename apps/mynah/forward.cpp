// mynah forward MODEL --input x.safetensors --output y.safetensors: the reference implementation's forward pass, by its names.
// With --image, --audio and --text instead of --input, the model's own processors make the inputs, which appear as input.NAME.

#include "base/require.h"
#include "bundle/bundle.h"
#include "bundle/processor.h"
#include "cli.h"
#include "command.h"
#include "formats/safetensors.h"
#include "mynah/autograd.h"
#include "open_model.h"

namespace mynah::app {
namespace {

struct ForwardOptions {
  std::string model, input, output;
  bundle::RawInputs raw;
  Precision precision = Precision::f32;
  bool grad = false, hidden_states = false;
};

// Processed inputs as they are written: f32, ids and masks too.
std::vector<formats::OutputTensor> shown(const nn::NamedTensors& inputs) {
  std::vector<formats::OutputTensor> out;
  for (const auto& [name, tensor] : inputs) out.emplace_back("input." + name, contiguous(to(tensor, DType::f32)));
  return out;
}

int run_forward(const ForwardOptions& o) {
  const bool raw = !o.raw.images.empty() || !o.raw.sounds.empty() || !o.raw.texts.empty();
  if (o.output.empty() || o.input.empty() == !raw) fail(ErrorCode::usage, "forward: --output FILE and either --input FILE or --image, --audio, --text are needed");
  nn::NamedTensors inputs;
  std::vector<formats::OutputTensor> out;
  if (raw) {
    const std::filesystem::path folder = model_path(o.model);
    inputs = bundle::process(folder, o.raw);
    out = shown(inputs);
    if (!std::filesystem::exists(folder / "config.json")) {  // a folder of processors alone
      formats::write_safetensors(o.output, out);
      return 0;
    }
  } else {
    const auto file = formats::SafetensorsFile::open(o.input);
    for (const auto& info : file->tensors()) inputs[info.name] = file->tensor(info.name);
  }
  const Model model = open_model(o.model, LoadOptions{.precision = o.precision, .trainable = o.grad}, /*text=*/false);
  const bundle::Bundle& b = model.bundle();
  const auto compute = [&] {
    const nn::NamedTensors results = b.network->forward(inputs, {o.hidden_states});
    for (const auto& [name, tensor] : results) out.emplace_back(name, contiguous(tensor.detach()));
    return results;
  };
  if (o.grad) {
    const auto results = compute();
    if (!results.count("loss")) fail(ErrorCode::usage, "forward: --grad needs a loss; add labels to {}", raw ? "the input" : o.input);
    backward(results.at("loss"));
    for (const auto& [name, g] : nn::disk_gradients(b.weights)) out.emplace_back("grad." + name, g);
  } else {
    NoGrad no_grad;
    compute();
  }
  formats::write_safetensors(o.output, out);
  return 0;
}

}  // namespace

void add_forward(cli::App& parent, std::function<int()>& action) {
  cli::App* c = parent.add_subcommand("forward", "Run a model on named tensors and write its outputs, hidden states and gradients");
  auto o = std::make_shared<ForwardOptions>();
  c->add_option("model", o->model, "folder, .gguf file or name")->required()->type_name("MODEL");
  c->add_option("--input", o->input, "safetensors file: input_ids, attention_mask, labels ...")->type_name("FILE");
  c->add_option("--image", o->raw.images, "picture file for the model's own processor; repeat for a batch")->type_name("FILE")->allow_extra_args(false);
  c->add_option("--audio", o->raw.sounds, "sound file for the model's own processor; repeat for a batch")->type_name("FILE")->allow_extra_args(false);
  c->add_option("--text", o->raw.texts, "text for the model's own tokenizer; repeat for a batch")->type_name("TEXT")->allow_extra_args(false);
  c->add_option("--output", o->output, "safetensors file to write: logits, loss, hidden_states.N, grad.NAME")->type_name("FILE");
  add_dtype_option(*c, o->precision);
  c->add_flag("--grad", o->grad, "add the gradient of the loss for every parameter");
  c->add_flag("--hidden-states", o->hidden_states, "add hidden_states.N");
  c->callback([o, &action] { action = [o] { return run_forward(*o); }; });
}

}  // namespace mynah::app
