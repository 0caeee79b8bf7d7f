// Weights: a place in a checkpoint. Modules ask it for their parameters by the checkpoint's own names; it loads or initialises
// them and keeps the list that saving, --grad, the optimiser and adapters use.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mynah/tensor.h"
#include "nn/matrix.h"

namespace mynah::nn {

// How a parameter starts when a model is made from a config alone.
struct Init {
  enum Kind { normal, constant } kind = normal;
  float value = 0.02f;  // standard deviation, or the constant
  static Init zeros() { return {constant, 0}; }
  static Init ones() { return {constant, 1}; }
  static Init with_std(float std) { return {normal, std}; }
};

// A weight as a source found it, in the layout the model asks for.
struct LoadedWeight {
  Tensor value;                                  // undefined: not there
  std::string disk_name;                         // its name in the file
  std::function<Tensor(const Tensor&)> to_disk;  // from the model's layout to the file's; empty: the same
  int64_t part = -1;                             // which part of the file's tensor it is, where that stacks several weights
  bool transposed = false;                       // the file holds [out, in] although the model's checkpoints hold [in, out], or the reverse
};

// Where weights come from: checkpoint files (bundle) or an initialiser.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual bool has(const std::string& name) const = 0;
  virtual LoadedWeight load(const std::string& name, const Shape& shape, Init init) = 0;
  // Called when a weight has been copied into another form, so that its pages may be dropped.
  virtual void done_with(const Tensor&) {}
};

// Draws every parameter from its Init by (seed, name): independent of order and of the other parameters.
class RandomSource : public WeightSource {
 public:
  explicit RandomSource(uint64_t seed) : seed_(seed) {}
  bool has(const std::string&) const override { return true; }
  LoadedWeight load(const std::string& name, const Shape& shape, Init init) override;

 private:
  uint64_t seed_;
};

struct Parameter {
  std::string name, disk_name;
  Tensor value;  // f32; a tracked leaf when the model is trainable
  std::function<Tensor(const Tensor&)> to_disk;
  int64_t part = -1;  // as in LoadedWeight
};

// How the matrices of linear maps are kept.
enum class MatrixType {
  f32,
  stored,  // as the file has them: bf16, f16, or packed when block-quantised
  bf16,    // rounded to it
  int8,    // products read 8-bit codes and quantise their input likewise; block-quantised ones as the file has them
};

// What one model was built from.
struct WeightList {
  bool trainable = false;  // parameters are f32, owned and tracked (of type bf16: rounded to it first)
  MatrixType matrices = MatrixType::f32;
  std::function<bool(const std::string& name)> trains;  // with trainable: which ones; empty: all
  size_t most_bytes = 0, trained_bytes = 0;             // of trained weights: the limit (0: none), and so far
  std::function<bool(const std::string& name)> in_4_bits;  // which matrices of plain types are kept as NF4; empty: none
  LowRankSource* adapters = nullptr;                    // asked for the adapter of every matrix; null: there are none
  std::vector<Parameter> parameters;
  std::vector<Parameter> buffers;     // of Weights::buffer, if trainable: saving writes them beside the parameters
  std::vector<std::string> problems;  // "name: missing", "name: shape [..], expected [..]"
  std::vector<std::string> used;      // names in the file that the model took

  // The type that attention follows: bf16 if any matrix is kept in bf16 or quantised, else f16 if any is, else f32.
  DType narrowest = DType::f32;
};

// The gradients of all parameters that have one, under their names and in their layouts on disk.
std::map<std::string, Tensor> disk_gradients(const WeightList& list);

class Weights {
 public:
  Weights(WeightSource& source, WeightList& list, std::string prefix = "") : source_(&source), list_(&list), prefix_(std::move(prefix)) {}

  Weights operator/(std::string_view name) const;
  Weights operator/(int64_t index) const { return *this / std::to_string(index); }
  std::string path(std::string_view name) const { return prefix_.empty() ? std::string(name) : prefix_ + "." + std::string(name); }
  // How matrices are kept; convolutions that only answer follow it.
  MatrixType matrices() const { return list_->matrices; }
  bool has(std::string_view name) const { return source_->has(path(name)); }
  // The same place, but training leaves the weights that `which` names (all, without it) as they are: they are saved and have no
  // gradient. Names are whole paths.
  Weights frozen(std::function<bool(std::string_view name)> which = {}) const;

  // A parameter used elementwise (norm weights, biases, position tables): always f32.
  Tensor tensor(std::string_view name, const Shape& shape, Init init = {}) const;
  // Numbers that the network reads and training does not change by gradients (running statistics): saved, but no parameter.
  Tensor buffer(std::string_view name, const Shape& shape, Init init = {}) const;
  // The matrix "<name>.weight" of a linear map [out, in]. With `in_out` the checkpoint holds it as [in, out] (GPT-2's Conv1D).
  Matrix matrix(std::string_view name, int64_t out, int64_t in, Init init = {}, bool in_out = false) const;
  // Several matrices that share their input, computed together; each stays a parameter of its own.
  Matrix join(const std::vector<std::string>& names, const std::vector<int64_t>& outs, int64_t in, Init init = {}) const;

 private:
  enum class Use { parameter, matrix, buffer };
  Matrix dense(std::string_view name, std::vector<Tensor> parts) const;
  LoadedWeight load(const std::string& path, const Shape& shape, Init init, Use use) const;
  Matrix with_adapters(Matrix matrix, const std::vector<std::string>& names, const std::vector<int64_t>& outs, int64_t in) const;

  WeightSource* source_;
  WeightList* list_;
  std::string prefix_;
  std::function<bool(std::string_view name)> frozen_;  // empty: none
};

}  // namespace mynah::nn
