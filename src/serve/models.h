// The models that are loaded: opened on demand, shared by all requests, kept for a while after the last one, given up
// for others.
#pragma once
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "generate/scheduler.h"
#include "serve/describe.h"
#include "serve/dialect.h"
#include "serve/go_template.h"
#include "store/store.h"

namespace mynah::tasks {
struct OpenTask;
}

namespace mynah::serve {

struct ModelsOptions {
  std::vector<std::string> served;  // names or paths given on the command line; the first one is the default
  std::chrono::milliseconds keep_alive{300000};  // negative: for ever
  int64_t most_loaded = 4;
  int64_t context = 0;  // 0: the model's own, at most 4096 in Ollama's dialect
  generation::SchedulerOptions scheduler;
};

// A model that requests may name.
struct KnownModel {
  std::string name;
  std::filesystem::path path;
  std::optional<store::Model> stored;
};

// What of a model is open for tasks, by the name that was asked for.
struct OpenTasks {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<const tasks::OpenTask>> tasks;
};

struct LoadedModel {
  std::string name;  // under which it was asked for first
  std::filesystem::path path;
  std::string digest;
  uint64_t file_bytes = 0;
  Model model;
  Description description;
  ModelSettings settings;
  std::shared_ptr<const ChatTemplate> chat_template;  // of the Modelfile, else the model's; may be null
  std::shared_ptr<const GoTemplate> go_template;      // of the Modelfile, in Go's language; wins over the other
  std::unique_ptr<generation::Scheduler> scheduler;   // null for models that do not generate
  double load_seconds = 0;
  std::shared_ptr<OpenTasks> open_tasks = std::make_shared<OpenTasks>();

  int64_t context() const;  // tokens, 0 if unlimited
};

class Models {
 public:
  Models(store::Store store, const ModelsOptions& options);
  ~Models();

  const store::Store& store() const { return store_; }
  const ModelsOptions& options() const { return options_; }

  // Throws ApiError 404 for a name that is not stored here. Never opens a path that the command line has not named.
  KnownModel find(const std::string& name) const;
  std::vector<KnownModel> served() const;
  // Those of the command line, then the stored ones, each with what its files say; what cannot be opened is left out.
  void each_described(const std::function<void(const KnownModel&, const Description&)>& take) const;
  // The first model of the command line; empty without one.
  std::string default_name() const { return options_.served.empty() ? "" : options_.served.front(); }

  // Holds a model in memory; the time to live begins when the last one lets go.
  class Lease {
   public:
    Lease() = default;
    Lease(Models* models, struct ModelSlot* slot) : models_(models), slot_(slot) {}
    Lease(Lease&& other) noexcept
        : models_(std::exchange(other.models_, nullptr)), slot_(std::exchange(other.slot_, nullptr)) {}
    Lease& operator=(Lease&& other) noexcept {
      std::swap(models_, other.models_);
      std::swap(slot_, other.slot_);
      return *this;
    }
    ~Lease();
    LoadedModel& operator*() const;
    LoadedModel* operator->() const { return &**this; }
    // How long this request waited for the model to be loaded.
    double load_seconds = 0;

   private:
    Models* models_ = nullptr;
    struct ModelSlot* slot_ = nullptr;
  };

  // Loads it if need be, which may take long. `keep_alive` replaces the time to live. Throws ApiError.
  Lease acquire(const std::string& name, std::optional<std::chrono::milliseconds> keep_alive = std::nullopt);
  // Gives the model up as soon as nobody uses it. False if it is not loaded.
  bool unload(const std::string& name);

  struct Status {
    std::string name, digest;
    std::filesystem::path path;
    uint64_t bytes = 0;
    int64_t context = 0;
    Json details;
    std::chrono::system_clock::time_point expires;
    int64_t slots = 0;  // answers computed together; 0: it does not generate
    generation::Scheduler::Counts counts;
  };
  std::vector<Status> loaded() const;

 private:
  friend class Lease;
  void release(ModelSlot* slot);
  void load(ModelSlot& slot, const KnownModel& known);
  void make_room(std::unique_lock<std::mutex>& lock, uint64_t bytes);
  void watch();

  store::Store store_;
  ModelsOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::unique_ptr<ModelSlot>> slots_;  // by path
  bool stop_ = false;
  std::thread watcher_;
};

}  // namespace mynah::serve
