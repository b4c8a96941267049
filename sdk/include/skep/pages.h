#pragma once

// Lists that come in pages: methods whose request says `after` and whose answer says `next` (control/1's
// lists). A swarm's services do not fit one message, so the answer is cut; whoever wants all of it asks
// through call_pages() and sees one answer.

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "skep/rpc.h"

namespace skep::rpc {

/// Asks for one page after the other. Keeps itself alive until it has answered.
template <class M>
class PageWalk final : public std::enable_shared_from_this<PageWalk<M>> {
 public:
  using Request = typename M::Request;
  using Response = typename M::Response;
  using OnAll = std::function<void(Result<Response>)>;

  PageWalk(Caller& caller, std::string target, Request request, CallOptions options, OnAll on_all,
           std::function<bool()> go_on)
      : caller_(caller),
        target_(std::move(target)),
        request_(std::move(request)),
        options_(std::move(options)),
        on_all_(std::move(on_all)),
        go_on_(std::move(go_on)) {}

  void ask() {
    call<M>(caller_, target_, request_, options_, [self = this->shared_from_this()](Result<Response> page) {
      page ? self->add(*std::move(page)) : self->on_all_(std::move(page).error());
    });
  }

 private:
  void add(Response page) {
    const std::string next = page.next();
    if (!next.empty() && next <= request_.after()) {
      return on_all_(Error{Code::kInternal,
                           "the page behind '" + request_.after() + "' ends at '" + next + "', which does not follow",
                           "BAD_PAGE"});
    }
    all_.clear_next();
    all_.MergeFrom(std::move(page));  // rows are appended, maps joined, single fields those of the last page
    if (next.empty() || (go_on_ && !go_on_())) {
      return on_all_(std::move(all_));
    }
    request_.set_after(next);
    ask();
  }

  Caller& caller_;
  const std::string target_;
  Request request_;
  const CallOptions options_;
  const OnAll on_all_;
  const std::function<bool()> go_on_;
  Response all_;
};

/// As call(), but with the rows of all pages in one answer. `options.deadline` is that of each page. When `go_on` is
/// given and says no after a page, the answer is what came so far, with `next` set. An object that was there all the
/// time is in the answer once; one that came or went meanwhile may be in it or not. The first error ends it.
template <class M>
void call_pages(Caller& caller, std::string target, typename M::Request request, CallOptions options,
                typename PageWalk<M>::OnAll on_all, std::function<bool()> go_on = {}) {
  std::make_shared<PageWalk<M>>(caller, std::move(target), std::move(request), std::move(options), std::move(on_all),
                                std::move(go_on))
      ->ask();
}

}  // namespace skep::rpc
