#include "core/bus/control_client.h"

#include "core/bus/stream_connection.h"

namespace skep::bus {

Result<std::unique_ptr<ControlClient>> ControlClient::connect(Loop& loop, Options options) {
  auto fd = connect_unix(options.path);
  if (!fd) {
    Error error = std::move(fd).error();
    if (error.code == Code::kUnavailable) {
      error.message = "cannot reach the agent: " + error.message +
                      "; is agentd running, and with this --root?";
    }
    return error;
  }
  std::unique_ptr<ControlClient> client(new ControlClient(loop, std::move(options)));
  ControlClient* const self = client.get();  // the connection's callbacks end with the client
  client->connection_ = StreamConnection::start(
      loop, *std::move(fd),
      {.on_frame = [self](const std::string& header,
                          std::string body) { self->on_frame(header, std::move(body)); },
       .on_closed = [self](const std::string& why) { self->close(why); }});
  v1::Hello hello;
  hello.set_protocol(rpc::kProtocol);
  hello.set_version(self->options_.version);
  v1::Header header;
  header.set_protocol(rpc::kProtocol);
  header.set_type(v1::HELLO);
  SKEP_TRY(client->connection_->send(header.SerializeAsString(), hello.SerializeAsString()));
  return client;
}

ControlClient::ControlClient(Loop& loop, Options options) : options_(std::move(options)) {
  endpoint_ = std::make_unique<rpc::RpcEndpoint>(
      loop, table_,
      [this](const std::string& header, const std::string& body) -> Status {
        if (!connection_) {
          return Error{Code::kUnavailable, "the connection to the agent is closed", "NOT_RUNNING"};
        }
        return connection_->send(header, body);
      },
      rpc::EndpointOptions{.name = "client"});
}

ControlClient::~ControlClient() {
  if (connection_) {
    connection_->close();
  }
}

void ControlClient::on_frame(const std::string& header, std::string body) {
  auto parsed = rpc::parse_header(header);
  if (!parsed) {
    return close("the agent sent a frame this program does not understand: " +
                 parsed.error().message);
  }
  if (parsed->type() == v1::WELCOME) {
    v1::Welcome welcome;
    if (welcome.ParseFromString(body)) {
      welcome_ = std::move(welcome);
    }
    return;
  }
  if (parsed->type() == v1::REJECT) {
    return close("the agent refused the connection: " + parsed->status().message());
  }
  if (parsed->type() == v1::BYE) {
    return close("the agent stops");
  }
  endpoint_->on_frame(*parsed, std::move(body));
}

void ControlClient::close(const std::string& why) {
  const auto connection = std::exchange(connection_, nullptr);
  if (!connection) {
    return;
  }
  connection->close();
  const auto on_closed = std::exchange(on_closed_, nullptr);
  endpoint_->disconnect(why);
  if (on_closed) {
    on_closed(why);
  }
}

}  // namespace skep::bus
