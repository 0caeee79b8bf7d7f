#include "models/maps.h"

#include <algorithm>

namespace mynah {
namespace {

// [to, from]: how much of each source place every target place takes.
Tensor shares(int64_t from, int64_t to) {
  Tensor out = Tensor::zeros({to, from});
  const float scale = to > 1 ? static_cast<float>(from - 1) / static_cast<float>(to - 1) : 0;
  for (int64_t i = 0; i < to; ++i) {
    const float at = scale * static_cast<float>(i);
    const int64_t first = std::min(static_cast<int64_t>(at), from - 1), second = std::min(first + 1, from - 1);
    const float part = at - static_cast<float>(first);
    out.data<float>()[i * from + first] += 1 - part;
    out.data<float>()[i * from + second] += part;
  }
  return out;
}

}  // namespace

Tensor map_rows(const Tensor& maps) {
  const int order[] = {0, 2, 3, 1};
  return reshape(permute(maps, order), {maps.size(0) * maps.size(2) * maps.size(3), maps.size(1)});
}

Tensor maps_of(const Tensor& rows, const MapSize& size) {
  const int order[] = {0, 3, 1, 2};
  return permute(reshape(rows, {size.images, size.height, size.width, rows.size(1)}), order);
}

Tensor resize_aligned(const Tensor& maps, int64_t height, int64_t width) {
  const int64_t planes = maps.size(0) * maps.size(1), from_height = maps.size(2), from_width = maps.size(3);
  // One direction after the other, as products with the few shares of each place.
  const Tensor wide = linear(reshape(maps, {planes * from_height, from_width}), shares(from_width, width));
  const Tensor turned = reshape(transpose(reshape(wide, {planes, from_height, width}), 1, 2), {planes * width, from_height});
  const Tensor both = linear(turned, shares(from_height, height));
  return reshape(transpose(reshape(both, {planes, width, height}), 1, 2), {maps.size(0), maps.size(1), height, width});
}

}  // namespace mynah
