// The same thing in frame after frame: boxes joined to tracks by how much they overlap.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace mynah::tasks {

struct SeenBox {
  std::string label;
  std::array<double, 4> box;  // left, top, right, bottom
};

struct TrackSettings {
  double least_overlap = 0.3;  // of intersection and union, with where the track should be by now
  int64_t patience = 5;        // frames for which a track may be unseen before it has left
  int64_t confirmed = 2;       // frames in which it must be seen before it counts
};

struct TrackEvent {
  enum class Kind { appears, leaves } kind;
  int64_t track;
  std::string label;
  int64_t frame;  // in which it was first seen, or last
};

struct Track {
  int64_t id;
  std::string label;
  int64_t first_frame, last_frame, seen;  // seen: in how many frames
};

class Tracker {
 public:
  explicit Tracker(const TrackSettings& settings = {}) : settings_(settings) {}

  // The track of each box of the next frame, numbered from 1.
  std::vector<int64_t> next(const std::vector<SeenBox>& boxes);
  // What happened since the last call, in order. `end`: no more frames come; what was seen in the last one has not left.
  std::vector<TrackEvent> events(bool end = false);
  // Every track that was confirmed, by its number.
  std::vector<Track> tracks() const;

 private:
  struct Moving {
    Track track;
    std::array<double, 4> box, speed;  // as last seen; pixels a frame
    bool told = false;
  };
  std::array<double, 4> expected(const Moving& m) const;

  TrackSettings settings_;
  int64_t frame_ = -1, next_id_ = 1;
  std::vector<Moving> running_;
  std::vector<Track> gone_;
  std::vector<TrackEvent> events_;
};

}  // namespace mynah::tasks
