#pragma once

// The calling side of a stream, in memory: what the driver sent, and how to send to it.

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "skep/rpc.h"

namespace skep::oci::testing {

class TestStream final : public rpc::ServerStream {
 public:
  [[nodiscard]] const rpc::CallContext& context() const override { return context_; }
  Status send(rpc::Body chunk) override {
    if (last) {
      return Error{Code::kCancelled, "over"};
    }
    if (chunks.size() >= window) {
      return Error{Code::kResourceExhausted, "no credit"};
    }
    chunks.push_back(std::move(chunk));
    return ok();
  }
  void finish(Result<rpc::Body> result) override {
    if (!last) {
      last = std::move(result);
      on_chunk_ = {};
      on_end_ = on_cancel_ = on_writable_ = {};
    }
  }
  void set_handlers(std::function<void(rpc::Body)> on_chunk, std::function<void()> on_end,
                    std::function<void()> on_cancel, std::function<void()> on_writable) override {
    on_chunk_ = std::move(on_chunk);
    on_end_ = std::move(on_end);
    on_cancel_ = std::move(on_cancel);
    on_writable_ = std::move(on_writable);
  }

  template <class Message>
  void write(const Message& message) {
    if (on_chunk_) {
      on_chunk_(message.SerializeAsString());
    }
  }
  void cancel() {
    if (on_cancel_) {
      const auto call = on_cancel_;
      call();
    }
  }
  /// Takes everything that has come and gives credit again.
  template <class Message, class Use>
  std::size_t take(Use use) {
    std::size_t taken = 0;
    while (!chunks.empty()) {
      auto message = rpc::parse<Message>(chunks.front());
      chunks.pop_front();
      use(*message);
      ++taken;
    }
    if (taken > 0 && on_writable_) {
      const auto call = on_writable_;
      call();
    }
    return taken;
  }

  std::size_t window = 256;
  std::deque<rpc::Body> chunks;
  std::optional<Result<rpc::Body>> last;

 private:
  rpc::CallContext context_;
  std::function<void(rpc::Body)> on_chunk_;
  std::function<void()> on_end_;
  std::function<void()> on_cancel_;
  std::function<void()> on_writable_;
};

}  // namespace skep::oci::testing
