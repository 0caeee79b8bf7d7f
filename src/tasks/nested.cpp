#include "tasks/nested.h"

namespace mynah::tasks {
namespace {

Json part(const std::vector<float>& values, const Shape& shape, int dim, size_t& at) {
  if (dim == shape.rank()) return values[at++];
  Json rows = Json::array();
  for (int64_t i = 0; i < shape[dim]; ++i) rows.push_back(part(values, shape, dim + 1, at));
  return rows;
}

}  // namespace

Json nested(const Tensor& values) {
  size_t at = 0;
  return part(values.to_vector(), values.shape(), 0, at);
}

}  // namespace mynah::tasks
