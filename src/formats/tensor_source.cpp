#include "formats/tensor_source.h"

#include "base/require.h"
#include "formats/quote.h"

namespace mynah::formats {

const TensorInfo* TensorSource::find_tensor(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

Tensor TensorSource::tensor(std::string_view name) const {
  const TensorInfo* info = find_tensor(name);
  if (!info) fail(ErrorCode::not_found, "{}: has no tensor {}", where_, quote(name));
  if (!info->dtype)
    fail(ErrorCode::failure, "{}: tensor {}: element type {} is not supported; use a checkpoint in another precision",
         where_, quote(name), info->type);
  return load(static_cast<size_t>(info - tensors_.data()));
}

void TensorSource::index_tensors() {
  index_.reserve(tensors_.size());
  for (uint32_t i = 0; i < tensors_.size(); ++i)
    if (!index_.emplace(tensors_[i].name, i).second)
      fail(ErrorCode::integrity, "{}: tensor {} occurs twice; the file is damaged", where_, quote(tensors_[i].name));
}

}  // namespace mynah::formats
