#include "plugins/runtime/oci/images/pull_queue.h"

#include <utility>

namespace skep::oci {

Status PullQueue::add(const runtime::v1::PullRequest& request, Line line, Done done) {
  if (callers_ == kWaitingMax) {
    return Error{Code::kResourceExhausted,
                 std::to_string(kWaitingMax) + " pulls wait already: try again later",
                 "PULLS_BUSY"};
  }
  ++callers_;
  const std::string key = request.SerializeAsString();
  const auto [at, fresh] = pulls_.try_emplace(key);
  at->second.callers.push_back({std::move(line), std::move(done)});
  if (fresh) {
    at->second.request = request;
    waiting_.push_back(key);
    start_next();
  }
  return ok();
}

void PullQueue::start_next() {
  while (running_ < kRunningMax && !waiting_.empty()) {
    const std::string key = std::move(waiting_.front());
    waiting_.pop_front();
    ++running_;
    if (Status started = start_(key, pulls_.at(key).request); !started) {
      on_done(key, std::move(started).error());
    }
  }
}

void PullQueue::on_line(const std::string& key, std::string_view line) {
  if (const auto at = pulls_.find(key); at != pulls_.end()) {
    for (const Caller& caller : at->second.callers) {
      caller.line(line);
    }
  }
}

void PullQueue::on_done(const std::string& key, const Result<runtime::v1::Image>& image) {
  auto node = pulls_.extract(key);
  if (node.empty()) {
    return;
  }
  --running_;
  callers_ -= node.mapped().callers.size();
  for (const Caller& caller : node.mapped().callers) {
    caller.done(image);
  }
  start_next();
}

}  // namespace skep::oci
