// Whole computations outside a scheduler (vectors, tasks): as many at once as there are processors; others wait for their turn.
#pragma once
#include <algorithm>
#include <functional>
#include <semaphore>
#include <thread>

#include "serve/dialect.h"

namespace mynah::serve {

// Says whether the client of a request has left; null: nobody looks.
using ClientLeft = std::function<bool()>;

// Ends a request that nobody waits for any more.
inline void stop_if_left(const ClientLeft& left) {
  if (left && left()) throw ApiError(499, "the client has left");
}

class Turn {
 public:
  explicit Turn(const ClientLeft& left) {
    turns().acquire();
    try {
      stop_if_left(left);
    } catch (...) {
      turns().release();
      throw;
    }
  }
  ~Turn() { turns().release(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  static std::counting_semaphore<>& turns() {
    static std::counting_semaphore<> all(std::max(1u, std::thread::hardware_concurrency()));
    return all;
  }
};

}  // namespace mynah::serve
