#include "serve/models.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>

#include "base/log.h"
#include "base/suggest.h"
#include "mynah/json.h"
#include "serve/media.h"
#include "store/names.h"

namespace mynah::serve {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

// More would not fit into the clock's nanoseconds.
constexpr std::chrono::milliseconds kLongest = std::chrono::hours(24 * 365 * 100);

struct ModelSlot {
  std::unique_ptr<LoadedModel> model;  // null while it loads; what it holds may be read without the lock
  std::string name;                    // under which it was asked for last
  int users = 0;
  std::chrono::milliseconds keep_alive{0};
  SteadyClock::time_point idle_since;
  bool unwanted = false;
  std::exception_ptr error;

  bool idle() const { return model && users == 0; }
  bool expired(SteadyClock::time_point now) const {
    return idle() && (unwanted || (keep_alive.count() >= 0 && now >= idle_since + keep_alive));
  }
};

namespace {

uint64_t bytes_of(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return fs::file_size(path, error);
  uint64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(path, error))  // onnx/model_q4.onnx
    if (entry.is_regular_file(error)) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(".safetensors") || name.ends_with(".bin") || name.ends_with(".gguf") ||
          name.ends_with(".onnx"))
        bytes += entry.file_size(error);
    }
  return bytes;
}

uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  for (uint64_t kb; file >> key >> kb; std::getline(file, unit))
    if (key == "MemAvailable:") return kb * 1024;
  return UINT64_MAX;
}

}  // namespace

int64_t LoadedModel::context() const { return scheduler ? model.context_length() : description.context_length; }

Models::Models(store::Store store, const ModelsOptions& options)
    : store_(std::move(store)), options_(options), watcher_([this] { watch(); }) {}

Models::~Models() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  watcher_.join();
}

std::vector<KnownModel> Models::served() const {
  std::vector<KnownModel> all;
  for (const auto& name : options_.served) {
    const auto found = store_.resolve(name);
    if (found) all.push_back({name, found->path, found->model});
  }
  return all;
}

void Models::each_described(const std::function<void(const KnownModel&, const Description&)>& take) const {
  const auto add = [&](const std::function<KnownModel()>& known) {
    std::optional<std::pair<KnownModel, Description>> found;
    try {
      KnownModel model = known();
      Description d = describe(model.path);
      if (model.stored)
        if (const std::string own = settings_of(store_, *model.stored).template_text; !own.empty()) apply_template(&d, own);
      found.emplace(std::move(model), std::move(d));
    } catch (const std::exception& error) {
      info("serve: a model is not listed: {}", error.what());
      return;
    }
    take(found->first, found->second);
  };
  for (const KnownModel& known : served())
    if (!known.stored) add([&] { return known; });
  for (const store::Model& m : store_.list()) add([&] { return KnownModel{m.name, store_.materialise(m), m}; });
}

KnownModel Models::find(const std::string& name) const {
  if (name.empty()) throw ApiError(400, "model is required", "model");
  const std::string key = store::name_key(name);
  for (const auto& own : options_.served) {
    const std::string base = fs::path(own).has_filename() ? fs::path(own).filename().string()
                                                          : fs::path(own).parent_path().filename().string();
    if (store::name_key(own) != key && store::name_key(base) != key) continue;
    if (const auto found = store_.resolve(own)) return {own, found->path, found->model};
  }
  if (auto stored = store_.find(name)) {
    const auto path = store_.materialise(*stored);
    return {stored->name, path, std::move(stored)};
  }
  std::error_code error;
  if (store::parse_name(name) && !store::looks_like_path(name) && !fs::exists(name, error)) {
    try {
      if (const auto found = store_.resolve(name)) return {name, found->path, found->model};
    } catch (const Error&) {
    }
  }
  std::vector<std::string> names = options_.served;
  for (const store::Model& m : store_.list()) names.push_back(m.name);
  throw ApiError(404, fmt::format("model '{}' not found{}", name, name.size() <= 200 ? did_you_mean(name, names) : ""), "model");
}

Models::Lease::~Lease() {
  if (models_) models_->release(slot_);
}
LoadedModel& Models::Lease::operator*() const { return *slot_->model; }

void Models::release(ModelSlot* slot) {
  std::lock_guard lock(mutex_);
  --slot->users;
  slot->idle_since = SteadyClock::now();
  changed_.notify_all();
}

Models::Lease Models::acquire(const std::string& name, std::optional<std::chrono::milliseconds> keep_alive) {
  const auto begin = SteadyClock::now();
  const KnownModel known = find(name);
  std::unique_lock lock(mutex_);
  auto& place = slots_[known.path.string()];
  bool mine = false;
  if (!place) {
    place = std::make_unique<ModelSlot>();
    place->keep_alive = std::min(options_.keep_alive, kLongest);
    mine = true;
  }
  ModelSlot* slot = place.get();
  ++slot->users;
  slot->unwanted = false;
  if (keep_alive) slot->keep_alive = std::min(*keep_alive, kLongest);
  Lease lease(this, slot);
  if (mine) {
    try {
      make_room(lock, bytes_of(known.path));
      lock.unlock();
      load(*slot, known);
      lock.lock();
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      slot->error = std::current_exception();
    }
    changed_.notify_all();
  } else {
    changed_.wait(lock, [&] { return slot->model || slot->error; });
  }
  if (slot->error) {
    const auto error = slot->error;
    lock.unlock();
    std::rethrow_exception(error);
  }
  slot->name = known.name;
  lease.load_seconds = std::chrono::duration<double>(SteadyClock::now() - begin).count();
  lock.unlock();
  return lease;
}

// Gives up idle models, the longest idle first, until there is room for one more of this size.
void Models::make_room(std::unique_lock<std::mutex>& lock, uint64_t bytes) {
  for (;;) {
    const uint64_t free = available_memory(), need = bytes + bytes / 5;
    const bool too_many = static_cast<int64_t>(slots_.size()) > options_.most_loaded;
    if (!too_many && need <= free) return;
    auto oldest = slots_.end();
    for (auto it = slots_.begin(); it != slots_.end(); ++it)
      if (it->second->idle() && (oldest == slots_.end() || it->second->idle_since < oldest->second->idle_since))
        oldest = it;
    if (oldest == slots_.end()) {
      if (need > free)
        throw ApiError(507, fmt::format("the model needs about {} bytes of memory, {} are free", need, free));
      return;  // all are in use: one more than usual
    }
    auto gone = std::move(oldest->second);
    slots_.erase(oldest);
    lock.unlock();
    gone.reset();
    lock.lock();
  }
}

void Models::load(ModelSlot& slot, const KnownModel& known) {
  const auto begin = SteadyClock::now();
  info("serve: loading {}", known.name);
  auto opened = std::make_unique<LoadedModel>(LoadedModel{known.name,
                                                          known.path,
                                                          known.stored ? known.stored->digest : "",
                                                          bytes_of(known.path),
                                                          Model(bundle::open(known.path, {.name = known.name})),
                                                          describe(known.path),
                                                          {},
                                                          nullptr,
                                                          nullptr,
                                                          nullptr,
                                                          0,
                                                          std::make_shared<OpenTasks>()});
  LoadedModel& m = *opened;
  m.description.bundle = nullptr;  // a second tokenizer, which the model's own stands for
  if (known.stored) m.settings = settings_of(store_, *known.stored);
  m.chat_template = m.model.bundle().chat_template;
  const std::string& own = m.settings.template_text;
  if (!own.empty() && apply_template(&m.description, own)) {
    if (is_jinja(own))
      m.chat_template = ChatTemplate::parse(own, known.name);
    else
      m.go_template = GoTemplate::parse(own, known.name);
  } else if (!own.empty()) {
    warn("serve: {}: its template asks for more than is here; the one that its weights carry is used", known.name);
  }
  if (m.model.bundle().network->causal_lm() && task_of_media(m.description.family).empty())
    m.scheduler = std::make_unique<generation::Scheduler>(m.model, options_.scheduler);
  m.load_seconds = std::chrono::duration<double>(SteadyClock::now() - begin).count();
  info("serve: {} is loaded, {:.2f} s", known.name, m.load_seconds);
  std::lock_guard lock(mutex_);
  slot.model = std::move(opened);
}

bool Models::unload(const std::string& name) {
  const KnownModel known = find(name);
  std::lock_guard lock(mutex_);
  const auto it = slots_.find(known.path.string());
  if (it == slots_.end()) return false;
  it->second->unwanted = true;
  changed_.notify_all();
  return true;
}

std::vector<Models::Status> Models::loaded() const {
  std::lock_guard lock(mutex_);
  std::vector<Status> all;
  const auto now = SteadyClock::now();
  for (const auto& [path, slot] : slots_) {
    if (!slot->model) continue;
    const LoadedModel& m = *slot->model;
    Status s{slot->name, m.digest, m.path, m.file_bytes, m.context(), details_json(m.description), {}, 0, {}};
    const auto left =
        slot->keep_alive.count() < 0 ? kLongest
        : slot->users > 0
            ? slot->keep_alive
            : std::chrono::duration_cast<std::chrono::milliseconds>(slot->idle_since + slot->keep_alive - now);
    s.expires = std::chrono::system_clock::now() + left;
    if (m.scheduler) {
      s.counts = m.scheduler->counts();
      s.slots = options_.scheduler.slots;
    }
    all.push_back(std::move(s));
  }
  std::sort(all.begin(), all.end(), [](const Status& a, const Status& b) { return a.expires > b.expires; });
  return all;
}

// Gives up models whose time is over. Their memory is given back on this thread, never on a scheduler's own.
void Models::watch() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto now = SteadyClock::now();
    std::vector<std::unique_ptr<ModelSlot>> gone;
    auto next = now + std::chrono::hours(1);
    for (auto it = slots_.begin(); it != slots_.end();) {
      ModelSlot& slot = *it->second;
      if (slot.expired(now) || (slot.error && slot.users == 0) || (stop_ && slot.users == 0)) {
        gone.push_back(std::move(it->second));
        it = slots_.erase(it);
        continue;
      }
      if (slot.idle() && slot.keep_alive.count() >= 0) next = std::min(next, slot.idle_since + slot.keep_alive);
      ++it;
    }
    if (!gone.empty()) {
      lock.unlock();
      for (const auto& slot : gone)
        if (slot->model) info("serve: {} is unloaded", slot->name);
      gone.clear();
      lock.lock();
      continue;
    }
    if (stop_ && slots_.empty()) return;
    changed_.wait_until(lock, next);
  }
}

}  // namespace mynah::serve
