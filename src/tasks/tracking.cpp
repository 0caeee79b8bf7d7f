#include "tasks/tracking.h"

#include <algorithm>

#include "nn/boxes.h"

namespace mynah::tasks {

std::array<double, 4> Tracker::expected(const Moving& m) const {
  std::array<double, 4> out = m.box;
  for (size_t i = 0; i < 4; ++i) out[i] += m.speed[i] * static_cast<double>(frame_ - m.track.last_frame);
  return out;
}

std::vector<int64_t> Tracker::next(const std::vector<SeenBox>& boxes) {
  ++frame_;
  struct Pair {
    double overlap;
    size_t track, box;
  };
  std::vector<Pair> pairs;
  for (size_t t = 0; t < running_.size(); ++t)
    for (size_t b = 0; b < boxes.size(); ++b) {
      if (running_[t].track.label != boxes[b].label) continue;
      // Where it was counts too: what turns round is not where its speed would have it.
      const double overlap = std::max(nn::overlap_of(expected(running_[t]), boxes[b].box), nn::overlap_of(running_[t].box, boxes[b].box));
      if (overlap >= settings_.least_overlap) pairs.push_back({overlap, t, b});
    }
  std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) { return a.overlap > b.overlap; });
  std::vector<int64_t> ids(boxes.size(), 0);
  std::vector<bool> taken(running_.size(), false);
  for (const Pair& p : pairs) {
    if (taken[p.track] || ids[p.box] != 0) continue;
    taken[p.track] = true;
    Moving& m = running_[p.track];
    ids[p.box] = m.track.id;
    const auto frames = static_cast<double>(frame_ - m.track.last_frame);
    for (size_t i = 0; i < 4; ++i) {
      const double speed = (boxes[p.box].box[i] - m.box[i]) / frames;
      m.speed[i] = m.track.seen == 1 ? speed : 0.5 * m.speed[i] + 0.5 * speed;
    }
    m.box = boxes[p.box].box;
    m.track.last_frame = frame_;
    ++m.track.seen;
  }
  for (size_t b = 0; b < boxes.size(); ++b) {
    if (ids[b] != 0) continue;
    ids[b] = next_id_;
    running_.push_back({{next_id_++, boxes[b].label, frame_, frame_, 1}, boxes[b].box, {}, false});
  }
  for (Moving& m : running_)
    if (!m.told && m.track.seen >= settings_.confirmed) {
      m.told = true;
      events_.push_back({TrackEvent::Kind::appears, m.track.id, m.track.label, m.track.first_frame});
    }
  // Those that were unseen for too long have left.
  std::vector<Moving> kept;
  for (Moving& m : running_) {
    if (frame_ - m.track.last_frame <= settings_.patience) {
      kept.push_back(std::move(m));
    } else if (m.told) {
      events_.push_back({TrackEvent::Kind::leaves, m.track.id, m.track.label, m.track.last_frame});
      gone_.push_back(std::move(m.track));
    }
  }
  running_ = std::move(kept);
  return ids;
}

std::vector<TrackEvent> Tracker::events(bool end) {
  if (end)
    for (const Moving& m : running_)
      if (m.told && m.track.last_frame < frame_) events_.push_back({TrackEvent::Kind::leaves, m.track.id, m.track.label, m.track.last_frame});
  std::vector<TrackEvent> out;
  out.swap(events_);
  return out;
}

std::vector<Track> Tracker::tracks() const {
  std::vector<Track> all = gone_;
  for (const Moving& m : running_)
    if (m.told) all.push_back(m.track);
  std::sort(all.begin(), all.end(), [](const Track& a, const Track& b) { return a.id < b.id; });
  return all;
}

}  // namespace mynah::tasks
