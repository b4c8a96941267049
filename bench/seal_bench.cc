// What sealing adds to a commit: one seal (before consensus) and one unseal (when committed) of entries
// of several sizes, beside one fdatasync of the same run. Prints figures; asserts nothing.
//
// usage: seal_bench [DIRECTORY]   (on a real disk; default: the current directory)

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "core/base/sealing.h"
#include "skep/posix_env.h"

namespace {

constexpr int kSyncs = 200;
constexpr int kRounds = 300;

double median(std::vector<double> us) {
  std::sort(us.begin(), us.end());
  return us[us.size() / 2];
}

template <class Work>
double median_us(int rounds, Work work) {
  skep::PosixClock clock;
  std::vector<double> us;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = clock.now();
    work();
    us.push_back(static_cast<double>((clock.now() - begin).count()) / 1e3);
  }
  return median(std::move(us));
}

double fdatasync_us(const std::string& directory) {
  const std::string path = directory + "/seal_bench.tmp";
  const int fd = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
  const std::string block(4096, 'x');
  const double us = median_us(kSyncs, [&] {
    if (::write(fd, block.data(), block.size()) != static_cast<ssize_t>(block.size()) || ::fdatasync(fd) != 0) {
      std::perror("write");
    }
  });
  ::close(fd);
  ::unlink(path.c_str());
  return us;
}

}  // namespace

int main(int argc, char** argv) {
  const double sync = fdatasync_us(argc > 1 ? argv[1] : ".");
  skep::PosixRandom random;
  const auto sealer = skep::base::Sealer::make_new(random);
  std::printf("one fdatasync: %.1f us (median of %d)\n", sync, kSyncs);
  std::printf("%10s %10s %10s %14s\n", "bytes", "seal us", "unseal us", "of a fdatasync");
  for (const std::size_t size : {256UL, 4'096UL, 65'536UL, 1'572'800UL}) {
    const std::string plain = random.bytes(size);
    std::string sealed;
    const double seal = median_us(kRounds, [&] { sealed = sealer->seal(plain, "bench", random); });
    const double unseal = median_us(kRounds, [&] { (void)sealer->unseal(sealed, "bench"); });
    std::printf("%10zu %10.2f %10.2f %13.1f%%\n", size, seal, unseal, (seal + unseal) / sync * 100);
  }
  return 0;
}
