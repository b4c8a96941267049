#pragma once

// Ties callbacks to one membership in a swarm: after a leave they do nothing. Loop thread only.

#include <memory>
#include <utility>

namespace skep::agentd {

class MemberToken {
 public:
  /// `callback`, which only runs while this membership lasts.
  template <class F>
  auto wrap(F callback) const {
    return [token = std::weak_ptr<char>(token_), callback = std::move(callback)](auto&&... arguments) {
      if (!token.expired()) {
        callback(std::forward<decltype(arguments)>(arguments)...);
      }
    };
  }
  /// The membership is over; the next one begins.
  void expire() { token_ = std::make_shared<char>(); }

 private:
  std::shared_ptr<char> token_ = std::make_shared<char>();
};

}  // namespace skep::agentd
