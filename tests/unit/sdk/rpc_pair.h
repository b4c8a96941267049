#pragma once

// Two endpoints joined by a loop: what one sends the other receives one event later.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skep/rpc_endpoint.h"
#include "skep/testing/manual_env.h"

namespace skep::rpc {

struct Pair {
  explicit Pair(EndpointOptions client_options = {.name = "client"},
                EndpointOptions server_options = {.name = "server"})
      : client(loop, client_table, sender(&server), client_options),
        server(loop, server_table, sender(&client), server_options) {}

  RpcEndpoint::Sender sender(RpcEndpoint* to) {
    return [this, to](std::string header, std::string body) -> Status {
      if (cut) {
        return Error{Code::kUnavailable, "cut"};
      }
      if (to == &server) {
        bytes_to_server += body.size();
      }
      loop.post([this, to, header = std::move(header), body = std::move(body)] {
        if (!lose) {
          to->on_frame(header, body);
        }
      });
      return ok();
    };
  }

  testing::ManualLoop loop;
  MethodTable client_table;
  MethodTable server_table;
  bool cut = false;
  bool lose = false;
  std::size_t bytes_to_server = 0;
  RpcEndpoint client;
  RpcEndpoint server;
};

}  // namespace skep::rpc
