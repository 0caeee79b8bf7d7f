// Maps whose channels stand beside each other. Of networks that only answer, each is written where it belongs; else they are joined at the end.
#pragma once
#include <vector>

#include "mynah/ops.h"
#include "ops/pixel_maps.h"

namespace mynah {

class JoinedMaps {
 public:
  // Room for `channels` of maps of x's images and size, times `larger`.
  JoinedMaps(bool answering, const Tensor& x, int64_t channels, int64_t larger = 1) {
    if (answering) whole_ = ops::empty_pixels(x.size(0), channels, x.size(2) * larger, x.size(3) * larger);
  }
  // Where the next `channels` are to be written; undefined if they need not be.
  Tensor slot(int64_t channels) const { return whole_.defined() ? narrow(whole_, 1, at_, channels) : Tensor(); }
  // The next map, in its slot or elsewhere.
  void put(const Tensor& map) {
    if (whole_.defined() && map.requires_grad()) {  // only a part of the network is trained
      if (at_ > 0) parts_.push_back(narrow(whole_, 1, 0, at_));
      whole_ = Tensor();
    }
    if (!whole_.defined()) return parts_.push_back(map);
    if (!map.shares_storage(whole_)) ops::copy_pixels(ops::in_pixels(map), slot(map.size(1)));
    at_ += map.size(1);
  }
  Tensor map() const { return whole_.defined() ? whole_ : cat(parts_, 1); }

 private:
  Tensor whole_;
  int64_t at_ = 0;
  std::vector<Tensor> parts_;
};

}  // namespace mynah
