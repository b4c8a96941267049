#include "core/agentctl/client.h"

namespace skep::ctl {

Result<rpc::Body> Client::call_raw(const std::string& target, std::string_view method,
                                   rpc::Body body, std::chrono::milliseconds deadline) {
  std::optional<Result<rpc::Body>> answer;
  connection_.caller().call(target, method, std::move(body), {.deadline = deadline},
                            [&answer](Result<rpc::Body> reply) { answer = std::move(reply); });
  connection_.run_until([&answer] { return answer.has_value(); });
  return std::move(*answer);
}

void Client::wait(Duration time, const std::function<bool()>& done) {
  bool elapsed = false;
  const TimerId timer = connection_.loop().run_after(time, [&elapsed] { elapsed = true; });
  connection_.run_until([&] { return elapsed || done(); });
  connection_.loop().cancel_timer(timer);
}

}  // namespace skep::ctl
