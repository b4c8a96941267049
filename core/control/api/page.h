#pragma once

// Pages of lists: an answer must fit one message of the bus (16 MiB), the objects of a swarm need not. Pure.

#include <cstddef>
#include <string>

#include "core/store/tables.h"

namespace skep::control {

/// About how large an answer gets, bytes: large enough for few questions, small enough not to hold up the
/// leader's loop. What one object adds beyond it is bounded by store::kChangeSetBytesMax (1.5 MiB).
inline constexpr std::size_t kPageBytes = std::size_t{4} << 20U;
/// What a row costs beside its object: its frame and its id, counts, what is added to it.
inline constexpr std::size_t kRowBytes = 256;

/// Hands the objects behind the id `after` for which `matches` holds to `add`, in order of id, until the page is
/// full; `response.next` is the last one's id when there are more. The first is always given, so that whoever goes on
/// gets on. `after` need not be the id of an object: objects may go between two pages.
template <class T, class Response, class Matches, class Add>
void fill_page(const store::ObjectMap<T>& objects, const std::string& after, Response& response,
               const Matches& matches, const Add& add) {
  std::size_t bytes = 0;
  const std::string* last = nullptr;
  for (auto it = objects.upper_bound(after); it != objects.end(); ++it) {
    if (!matches(*it->second)) {
      continue;
    }
    bytes += it->second->ByteSizeLong() + kRowBytes;
    if (last != nullptr && bytes > kPageBytes) {
      response.set_next(*last);
      return;
    }
    add(*it->second);
    last = &it->first;
  }
}

}  // namespace skep::control
