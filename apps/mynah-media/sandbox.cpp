#include "sandbox.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#ifdef MYNAH_SECCOMP
#include <seccomp.h>

#include <cerrno>
#include <initializer_list>
#endif

// A sanitizer's shadow memory and leak check do not fit into the sandbox: such builds, which are for tests, keep to the limits of time and files.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#undef MYNAH_SECCOMP
constexpr bool kLimitMemory = false;
#else
constexpr bool kLimitMemory = true;
#endif

namespace mynah::media_helper {
namespace {

bool limit(int what, uint64_t most) {
  const rlimit value{most, most};
  return setrlimit(static_cast<__rlimit_resource_t>(what), &value) == 0;
}

#ifdef MYNAH_SECCOMP
// Reading and writing what is open, memory, clocks. Everything else fails, as if it were forbidden.
bool forbid_system_calls() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (!filter) return false;
  bool ok = true;
  for (const int call : {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(close), SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap),
                         SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mprotect), SCMP_SYS(futex), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
                         SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_yield), SCMP_SYS(getpid), SCMP_SYS(gettid)})
    ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) == 0;
  ok = ok && seccomp_load(filter) == 0;
  seccomp_release(filter);
  return ok;
}
#endif

}  // namespace

bool enter_sandbox(uint64_t memory_bytes, uint64_t processor_seconds) {
  bool ok = (!kLimitMemory || limit(RLIMIT_AS, memory_bytes)) && limit(RLIMIT_CPU, processor_seconds) && limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_CORE, 0);
  ok = ok && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
#ifdef MYNAH_SECCOMP
  ok = ok && forbid_system_calls();
#endif
  return ok;
}

}  // namespace mynah::media_helper
