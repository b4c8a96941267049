// lin_check FILE...: exit 0 when every history is linearizable, 1 when one is not, 2 when one cannot be
// read or the limit of steps was reached.

#include <cstdio>
#include <fstream>
#include <sstream>

#include "tests/linearizability/history_file.h"

int main(int argc, char** argv) {
  int worst = argc < 2 ? 2 : 0;
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i]);
    std::ostringstream text;
    text << file.rdbuf();
    const auto history = skep::lin::parse_history(text.str());
    if (!file || !history) {
      std::printf("%s: %s\n", argv[i],
                  history ? "cannot be read" : history.error().message.c_str());
      return 2;
    }
    const auto verdict = skep::lin::check(*history);
    if (verdict.linearizable) {
      std::printf("%s: %zu operations, linearizable (%zu steps)\n", argv[i], history->size(),
                  verdict.steps);
      continue;
    }
    std::printf("%s: key %s is %s\n%s\n", argv[i], verdict.key.c_str(),
                verdict.gave_up ? "too hard to check" : "not linearizable", verdict.why.c_str());
    worst = verdict.gave_up ? 2 : 1;
  }
  return worst;
}
