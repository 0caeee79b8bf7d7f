// Maps cut into square windows, whose places attend to each other only: Swin's, shifted or not, and SAM's.
#pragma once
#include <cstdint>
#include <vector>

#include "models/maps.h"

namespace mynah {

// Which row of a map each place of its windows comes from, where padding is a row of its own behind the map's.
struct MapWindows {
  MapWindows(const MapSize& map, int64_t window, int64_t shift);
  int64_t count() const { return static_cast<int64_t>(source.size()) / (side * side); }

  // Rows [B * places, C] -> [B * windows * T, C], and back.
  Tensor apart(const Tensor& x) const;
  Tensor together(const Tensor& x) const;

  int64_t side, places, images;
  std::vector<int64_t> source, home;
  std::vector<int> regions;  // of a shifted map, which parts of a window belong together

 private:
  std::vector<int64_t> repeated(const std::vector<int64_t>& rows, int64_t step) const;
};

}  // namespace mynah
