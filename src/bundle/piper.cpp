#include "bundle/piper.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/require.h"
#include "bundle/some_of.h"
#include "formats/onnx.h"
#include "mynah/autograd.h"
#include "mynah/json.h"
#include "mynah/ops.h"

namespace mynah::bundle {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> split(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name)
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

// The inverse of the scale that ends the chain of durations, which the exporter has computed.
constexpr const char* kFoldedScale = "/dp/flows.0/Exp_output_0";

// A name of the original implementation -> of VitsModel; empty for what is no weight.
std::string renamed(const std::string& name, bool stochastic) {
  if (name == kFoldedScale) return "duration_predictor.flows.0.log_scale";
  std::vector<std::string> p = split(name);
  const auto replace = [&](std::initializer_list<std::pair<const char*, const char*>> table) {
    for (size_t i = 1; i < p.size(); ++i)
      for (const auto& [from, to] : table)
        if (p[i] == from) {
          p[i] = to;
          break;
        }
  };
  const auto number = [&](size_t at) {
    return at < p.size() && !p[at].empty() && p[at].find_first_not_of("0123456789") == std::string::npos &&
                   p[at].size() < 6
               ? std::stoi(p[at])
               : -1;
  };
  if (p[0] == "enc_p" && p.size() >= 3 && p[1] != "encoder") {
    p[0] = "text_encoder";
    replace({{"emb", "embed_tokens"}, {"proj", "project"}});
  } else if (p[0] == "enc_p" && p.size() >= 5) {
    // enc_p.encoder.KIND.N.rest -> text_encoder.encoder.layers.N.PART.rest
    const char* part = p[2] == "attn_layers"     ? "attention"
                       : p[2] == "ffn_layers"    ? "feed_forward"
                       : p[2] == "norm_layers_1" ? "layer_norm"
                                                 : "final_layer_norm";
    replace({{"conv_q", "q_proj"},
             {"conv_k", "k_proj"},
             {"conv_v", "v_proj"},
             {"conv_o", "out_proj"},
             {"gamma", "weight"},
             {"beta", "bias"}});
    std::vector<std::string> q = {"text_encoder", "encoder", "layers", p[3], part};
    q.insert(q.end(), p.begin() + 4, p.end());
    p = std::move(q);
  } else if (p[0] == "emb_g") {
    p[0] = "embed_speaker";
  } else if (p[0] == "dp") {
    p[0] = "duration_predictor";
    if (p[1] == "flows" && number(2) > 0)
      p[2] = std::to_string((number(2) + 1) / 2);  // every other one turns the channels round
    replace({{"pre", "conv_pre"},
             {"convs", "conv_dds"},
             {"convs_sep", "convs_dilated"},
             {"convs_1x1", "convs_pointwise"},
             {"gamma", "weight"},
             {"beta", "bias"},
             {"m", "translate"},
             {"logs", "log_scale"}});
    if (stochastic) replace({{"proj", "conv_proj"}});
  } else if (p[0] == "flow") {
    if (number(2) > 0) p[2] = std::to_string(number(2) / 2);
    replace({{"pre", "conv_pre"}, {"post", "conv_post"}, {"enc", "wavenet"}});
  } else if (p[0] == "dec") {
    p[0] = "decoder";
    replace({{"ups", "upsampler"}});
  } else {
    return "";
  }
  std::string out = p[0];
  for (size_t i = 1; i < p.size(); ++i) out += "." + p[i];
  return out;
}

class PiperSource final : public formats::TensorSource {
 public:
  PiperSource(std::shared_ptr<const formats::OnnxFile> file, bool stochastic)
      : TensorSource(file->where()), file_(std::move(file)) {
    for (const auto& info : file_->tensors()) {
      const std::string name = renamed(info.name, stochastic);
      if (name.empty() || info.dtype != DType::f32) continue;
      formats::TensorInfo mine = info;
      mine.name = name;
      // Maps of single frames are matrices in attention.
      if (name.find(".attention.") != std::string::npos && name.ends_with("_proj.weight") && info.shape.rank() == 3 &&
          info.shape[2] == 1)
        mine.shape = {info.shape[0], info.shape[1]};
      tensors_.push_back(std::move(mine));
      inner_.push_back(info.name);
    }
    index_tensors();
  }

 private:
  Tensor load(size_t index) const override {
    const NoGrad none;
    const Tensor x = file_->tensor(inner_[index]);
    if (inner_[index] == kFoldedScale) return neg(log(x));
    return x.shape() == tensors_[index].shape ? x : reshape(x, tensors_[index].shape);
  }

  std::shared_ptr<const formats::OnnxFile> file_;
  std::vector<std::string> inner_;
};

// Sizes of a VITS from the shapes of its weights.
class Sizes {
 public:
  explicit Sizes(const formats::OnnxFile& file) : file_(file) {}
  bool has(const std::string& name) const { return file_.contains(name); }
  int64_t size(const std::string& name, int dim) const {
    const auto* info = file_.find_tensor(name);
    if (!info || dim >= info->shape.rank())
      fail(ErrorCode::integrity, "{}: no Piper voice: {} is missing or has another shape", file_.where(), name);
    return info->shape[dim];
  }
  // How many there are of names with {} counting 0, step, 2 step ...
  int64_t count(const std::string& name, int64_t step = 1) const {
    int64_t n = 0;
    while (has(fmt::format(fmt::runtime(name), n * step))) ++n;
    return n;
  }
  int64_t window(const std::string& weight, bool stride) const {
    const auto* window = file_.window(weight);
    if (!window) fail(ErrorCode::integrity, "{}: no Piper voice: nothing reads {}", file_.where(), weight);
    const auto& list = stride ? window->strides : window->dilations;
    return list.empty() ? 1 : list[0];
  }

  Json config() const {
    const std::string attention = "enc_p.encoder.attn_layers.0.", in_layers = "flow.flows.0.enc.in_layers.";
    const int64_t hidden = size("enc_p.emb.weight", 1), head = size(attention + "emb_rel_k", 2);
    Json c = {{"model_type", "vits"}, {"architectures", {"VitsModel"}}, {"hidden_act", "relu"}};
    c["vocab_size"] = size("enc_p.emb.weight", 0);
    c["hidden_size"] = hidden;
    c["num_attention_heads"] = head > 0 ? hidden / head : 0;
    c["num_hidden_layers"] = count("enc_p.encoder.attn_layers.{}.conv_q.weight");
    c["window_size"] = size(attention + "emb_rel_k", 1) / 2;
    c["ffn_dim"] = size("enc_p.encoder.ffn_layers.0.conv_1.weight", 0);
    c["ffn_kernel_size"] = size("enc_p.encoder.ffn_layers.0.conv_1.weight", 2);
    c["flow_size"] = size("enc_p.proj.weight", 0) / 2;
    c["prior_encoder_num_flows"] = count("flow.flows.{}.pre.weight", 2);
    c["prior_encoder_num_wavenet_layers"] = count("flow.flows.0.enc.in_layers.{}.weight");
    c["wavenet_kernel_size"] = size(in_layers + "0.weight", 2);
    c["wavenet_dilation_rate"] = has(in_layers + "1.weight") ? window(in_layers + "1.weight", false) : 1;
    durations(c);
    generator(c);
    if (has("emb_g.weight")) {
      c["num_speakers"] = size("emb_g.weight", 0);
      c["speaker_embedding_size"] = size("emb_g.weight", 1);
    }
    return c;
  }

 private:
  void durations(Json& c) const {
    c["use_stochastic_duration_prediction"] = has("dp.convs.convs_sep.0.weight");
    if (!c["use_stochastic_duration_prediction"]) {
      c["duration_predictor_filter_channels"] = size("dp.conv_1.weight", 0);
      c["duration_predictor_kernel_size"] = size("dp.conv_1.weight", 2);
      return;
    }
    int64_t last = 1;  // the first map is left out of the file
    while (has(fmt::format("dp.flows.{}.pre.weight", 2 * last + 1))) ++last;
    c["duration_predictor_num_flows"] = last;
    if (last > 1) c["duration_predictor_flow_bins"] = (size("dp.flows.3.proj.weight", 0) + 1) / 3;
    c["duration_predictor_kernel_size"] = size("dp.convs.convs_sep.0.weight", 2);
    c["depth_separable_num_layers"] = count("dp.convs.convs_sep.{}.weight");
  }
  void generator(Json& c) const {
    const int64_t stages = count("dec.ups.{}.weight");
    const bool single = has("dec.resblocks.0.convs.0.weight");
    const std::string first = single ? "convs" : "convs1";
    const int64_t blocks = count("dec.resblocks.{}." + first + ".0.weight");
    if (stages == 0 || blocks % stages != 0)
      fail(ErrorCode::integrity, "{}: no Piper voice: {} upsampling stages and {} residual blocks", file_.where(),
           stages, blocks);
    c["resblock"] = single ? "2" : "1";
    c["upsample_initial_channel"] = size("dec.conv_pre.weight", 0);
    c["upsample_rates"] = c["upsample_kernel_sizes"] = c["resblock_kernel_sizes"] = c["resblock_dilation_sizes"] =
        Json::array();
    for (int64_t i = 0; i < stages; ++i) {
      const std::string weight = fmt::format("dec.ups.{}.weight", i);
      c["upsample_rates"].push_back(window(weight, true));
      c["upsample_kernel_sizes"].push_back(size(weight, 2));
    }
    for (int64_t b = 0; b < blocks / stages; ++b) {
      const std::string prefix = fmt::format("dec.resblocks.{}.{}.", b, first);
      c["resblock_kernel_sizes"].push_back(size(prefix + "0.weight", 2));
      Json dilations = Json::array();
      for (int64_t i = 0; i < count(prefix + "{}.weight"); ++i)
        dilations.push_back(window(fmt::format("{}{}.weight", prefix, i), false));
      c["resblock_dilation_sizes"].push_back(std::move(dilations));
    }
  }

  const formats::OnnxFile& file_;
};

fs::path description_of(const fs::path& onnx) { return onnx.string() + ".json"; }

}  // namespace

std::optional<fs::path> piper_voice(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) {
    if (path.extension() == ".onnx" && fs::exists(description_of(path), ignored)) return path;
    return std::nullopt;
  }
  if (!fs::is_directory(path, ignored) || fs::exists(path / "config.json", ignored)) return std::nullopt;
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.path().extension() == ".onnx" && fs::exists(description_of(entry.path()), ignored))
      found.push_back(entry.path().filename().string());
  std::sort(found.begin(), found.end());
  if (found.size() > 1)
    fail(ErrorCode::usage, "{}: holds {} voices, expected one: {}; name the file", path.string(), found.size(),
         some_of(found));
  if (found.empty()) return std::nullopt;
  return path / found[0];
}

PiperVoice open_piper(const fs::path& onnx) {
  const std::string where = description_of(onnx).string();
  const Json description = read_json_file(where);
  if (!description.is_object() || !description.contains("phoneme_id_map") || !description["phoneme_id_map"].is_object())
    fail(ErrorCode::integrity, "{}: no phoneme_id_map; expected the description of a Piper voice", where);
  const auto file = formats::OnnxFile::open(onnx);
  PiperVoice voice;
  voice.config = Sizes(*file).config();
  voice.weights = std::make_shared<PiperSource>(file, voice.config["use_stochastic_duration_prediction"].get<bool>());
  const auto number = [&](const char* part, const char* key, double otherwise) {
    const Json& object = description.value(part, Json::object());
    if (!object.is_object() || !object.contains(key) || object[key].is_null()) return otherwise;
    if (!object[key].is_number())
      fail(ErrorCode::integrity, "{}: {}.{} is {}, expected a number", where, part, key, object[key].dump());
    return object[key].get<double>();
  };
  const double length = number("inference", "length_scale", 1), rate = number("audio", "sample_rate", 22050);
  if (!(length > 0) || !(rate >= 1 && rate <= 1e6))
    fail(ErrorCode::integrity, "{}: length_scale {} or sample_rate {} out of range", where, length, rate);
  voice.config["speaking_rate"] = 1 / length;
  voice.config["noise_scale"] = number("inference", "noise_scale", 0.667);
  voice.config["noise_scale_duration"] = number("inference", "noise_w", 0.8);
  voice.config["sampling_rate"] = static_cast<int64_t>(rate);
  voice.config["piper"] = description;
  return voice;
}

}  // namespace mynah::bundle
