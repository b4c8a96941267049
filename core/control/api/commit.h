#pragma once

// How the control API proposes an edit and answers with the object as it was committed; only the
// .cc files of ControlApi include this.

#include <memory>
#include <utility>

#include "core/control/api/control_api.h"
#include "core/control/api/redact.h"

namespace skep::control {

/// The object as people may see it.
template <class T>
T shown(const T& object) {
  T copy = object;
  redact(copy);
  return copy;
}

template <class T, class Response>
void ControlApi::commit(Edit<T> edit, Reply<Response> reply, void (*fill)(Response&, T),
                        std::function<void()> after) {
  auto answer = [warnings = std::move(edit.warnings), fill](const T& object) {
    Response response;
    fill(response, shown(object));
    if constexpr (requires { response.add_warnings(std::string()); }) {
      for (const auto& warning : warnings) {
        response.add_warnings(warning);
      }
    }
    return response;
  };
  if (edit.transaction.empty()) {
    return reply(answer(edit.object));
  }
  auto done = [this, alive = std::weak_ptr<char>(alive_), object = std::move(edit.object), reply,
               answer, after = std::move(after)](Result<std::uint64_t> result) {
    if (alive.expired()) {
      return reply(Error{Code::kTimeout, "the manager stopped; read again before repeating",
                         "PROPOSAL_UNKNOWN"});
    }
    if (after) {
      after();
    }
    if (!result) {
      return reply(std::move(result).error());
    }
    const auto present = store_.view().template get<T>(object.id());
    reply(answer(present != nullptr ? *present : object));
  };
  proposer_.propose(std::move(edit.transaction), std::move(done));
}

}  // namespace skep::control
