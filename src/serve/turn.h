// Whole computations outside a scheduler (vectors, tasks): as many at once as there are processors; others wait for their turn.
#pragma once
#include <algorithm>
#include <semaphore>
#include <thread>

namespace mynah::serve {

class Turn {
 public:
  Turn() { turns().acquire(); }
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
