#include "train/metrics.h"

namespace mynah::train {

Metrics::Entry* Metrics::find(const std::string& name) {
  for (Entry& entry : entries_)
    if (entry.name == name) return &entry;
  entries_.push_back({name, 0, 0});
  return &entries_.back();
}

void Metrics::add(const std::string& name, double value) {
  Entry* entry = find(name);
  entry->sum += value;
  ++entry->count;
}

void Metrics::set(const std::string& name, double value) { *find(name) = {name, value, 0}; }

void Metrics::flush_into(Json* row) {
  for (const Entry& entry : entries_) (*row)[entry.name] = entry.count ? entry.sum / static_cast<double>(entry.count) : entry.sum;
  entries_.clear();
}

Json Metrics::state() const {
  Json all = Json::array();
  for (const Entry& entry : entries_) all.push_back({entry.name, entry.sum, entry.count});
  return all;
}

void Metrics::set_state(const Json& state) {
  entries_.clear();
  for (const Json& entry : state) entries_.push_back({entry.at(0).get<std::string>(), entry.at(1).get<double>(), entry.at(2).get<int64_t>()});
}

}  // namespace mynah::train
