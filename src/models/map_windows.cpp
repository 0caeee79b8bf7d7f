#include "models/map_windows.h"

namespace mynah {

MapWindows::MapWindows(const MapSize& map, int64_t window, int64_t shift) : side(window), places(map.height * map.width), images(map.images) {
  const int64_t high = (map.height + window - 1) / window * window, wide = (map.width + window - 1) / window * window;
  home.assign(static_cast<size_t>(places), 0);
  const auto region = [&](int64_t at, int64_t size) { return at < size - window ? 0 : at < size - shift ? 1 : 2; };
  for (int64_t y = 0; y < high; y += window)
    for (int64_t x = 0; x < wide; x += window)
      for (int64_t i = 0; i < window * window; ++i) {
        const int64_t row = y + i / window, column = x + i % window;  // in the shifted map
        const int64_t from_row = (row + shift) % high, from_column = (column + shift) % wide;
        regions.push_back(shift == 0 ? 0 : region(row, high) * 3 + region(column, wide));
        const bool real = from_row < map.height && from_column < map.width;
        if (real) home[static_cast<size_t>(from_row * map.width + from_column)] = static_cast<int64_t>(source.size());
        source.push_back(real ? from_row * map.width + from_column : places);
      }
}

Tensor MapWindows::apart(const Tensor& x) const {
  const Tensor with_padding = cat({reshape(x, {images, places, x.size(1)}), Tensor::zeros({images, 1, x.size(1)})}, 1);
  return index_rows(reshape(with_padding, {images * (places + 1), x.size(1)}), repeated(source, places + 1));
}
Tensor MapWindows::together(const Tensor& x) const { return index_rows(x, repeated(home, static_cast<int64_t>(source.size()))); }

std::vector<int64_t> MapWindows::repeated(const std::vector<int64_t>& rows, int64_t step) const {
  std::vector<int64_t> all;
  for (int64_t b = 0; b < images; ++b)
    for (const int64_t row : rows) all.push_back(b * step + row);
  return all;
}

}  // namespace mynah
