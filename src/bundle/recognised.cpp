#include "bundle/recognised.h"


#include "models/recognise.h"
#include "mynah/json.h"

namespace mynah::bundle {

Json recognised(const formats::TensorSource& source) {
  std::map<std::string, Shape> weights;
  for (const auto& info : source.tensors()) weights[info.name] = info.shape;
  return recognised_config(weights);
}

}  // namespace mynah::bundle
