#include <fmt/format.h>

#include <istream>
#include <map>
#include <memory>
#include <ostream>

#include "core/agentctl/bus/message_json.h"
#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/output/list.h"
#include "core/agentctl/text.h"
#include "core/model/units.h"
#include "skep/bus.pb.h"
#include "skep/plugin.methods.h"

namespace skep::ctl {
namespace {

constexpr std::size_t kTracedCallsMax = 10'000;  // calls whose answer is still expected

struct CallOptions {
  std::chrono::milliseconds deadline = kCallDeadline;
  bool compact = false;
};

Result<int> call_stream(Context& context, Client& agent, const MessageJson& json,
                        const MethodInfo& method, const std::string& target, std::string body) {
  std::optional<Result<rpc::Body>> done;
  std::optional<Error> unreadable;
  auto stream = agent.connection().caller().open(
      target, method.name, std::move(body), {.deadline = std::chrono::milliseconds(0)},
      {.on_chunk =
           [&](rpc::Body chunk) {
             auto text = json.to_json(method.response, chunk, false, false);
             if (text) {
               context.out << *text << '\n' << std::flush;
             } else {
               unreadable = text.error();
             }
           },
       .on_done = [&](Result<rpc::Body> last) { done = std::move(last); }});
  stream->end();
  agent.connection().run_until([&done] { return done.has_value(); });
  SKEP_TRY(std::move(*done));
  return unreadable ? Result<int>(*unreadable) : 0;
}

Result<int> call(Context& context, const CallOptions& options,
                 const std::vector<std::string>& arguments) {
  const MessageJson json;
  SKEP_TRY_ASSIGN(const MethodInfo method, json.method(arguments[1]));
  std::string text = arguments.size() > 2 ? arguments[2] : "{}";
  if (text == "-") {
    text.assign(std::istreambuf_iterator<char>(context.in), std::istreambuf_iterator<char>());
  }
  SKEP_TRY_ASSIGN(std::string body, json.to_bytes(method.request, text));
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  if (method.streams_in || method.streams_out) {
    return call_stream(context, *agent, json, method, arguments[0], std::move(body));
  }
  SKEP_TRY_ASSIGN(const rpc::Body answer,
                  agent->call_raw(arguments[0], method.name, std::move(body), options.deadline));
  SKEP_TRY_ASSIGN(std::string printed,
                  json.to_json(method.response, answer, !options.compact, true));
  while (printed.ends_with('\n')) {
    printed.pop_back();
  }
  context.out << printed << '\n';
  return 0;
}

std::string_view type_word(bus::v1::MessageType type) {
  constexpr std::string_view kWords[] = {"?",        "HELLO",  "WELCOME", "REJECT", "REQUEST",
                                         "RESPONSE", "STREAM", "CREDIT",  "CANCEL", "END",
                                         "EVENT",    "ACK",    "PING",    "PONG",   "BYE"};
  const auto index = static_cast<std::size_t>(type);
  return index < std::size(kWords) ? kWords[index] : kWords[0];
}

/// Turns what the core saw into lines. What a body is, its call tells: chunks pass in both directions, and
/// those that go the way of the REQUEST are of the caller.
class TracePrinter {
 public:
  TracePrinter(Context& context, bool bodies) : context_(context), bodies_(bodies) {}

  void print(const plugin::v1::TraceLine& line) {
    bus::v1::Header header;
    if (!header.ParseFromString(line.header())) {
      context_.out << print_time(line.at()) << " ? unreadable header\n";
      return;
    }
    const std::string key = fmt::format("{}#{}", line.participant(), header.correlation());
    const bool opens = header.type() == bus::v1::REQUEST || header.type() == bus::v1::EVENT;
    if (opens && calls_.size() < kTracedCallsMax) {
      calls_[key] = {header.method(), line.direction()};
    }
    const auto known = calls_.find(key);
    const std::string method = !header.method().empty() ? header.method()
                               : known != calls_.end()  ? known->second.method
                                                        : "";
    context_.out << fmt::format("{} {:<3} {:<20} {:<8} #{:<6} {}{}{}", print_time(line.at()),
                                line.direction(), line.participant(), type_word(header.type()),
                                header.correlation(), header.target(),
                                header.target().empty() || method.empty() ? "" : " ", method);
    if (header.status().code() != 0) {
      context_.out << fmt::format(" {}: {}", code_name(static_cast<Code>(header.status().code())),
                                  header.status().message());
    }
    if (bodies_ && !line.body().empty()) {
      const bool of_caller =
          opens || (header.type() == bus::v1::STREAM && known != calls_.end() &&
                    known->second.direction == line.direction());
      context_.out << ' ' << body_text(method, of_caller, line.body());
    }
    context_.out << '\n' << std::flush;
    if (header.type() == bus::v1::RESPONSE || header.type() == bus::v1::ACK) {
      calls_.erase(key);
    }
  }

 private:
  std::string body_text(const std::string& method, bool request, const std::string& body) {
    auto info = json_.method(method);
    auto text = info ? json_.to_json(request ? info->request : info->response, body, false, false)
                     : Result<std::string>(Error{Code::kNotFound, "unknown method"});
    return text ? *text : fmt::format("({} bytes)", body.size());
  }

  Context& context_;
  bool bodies_;
  MessageJson json_;
  struct Call {
    std::string method;
    std::string direction;  ///< "in" or "out", as the core saw its REQUEST
  };
  std::map<std::string, Call> calls_;  // by participant and correlation
};

Result<int> trace(Context& context, bool bodies, const std::vector<std::string>& arguments) {
  plugin::v1::TraceRequest request;
  request.set_filter(arguments.empty() ? "" : arguments.front());
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  TracePrinter printer(context, bodies);
  SKEP_TRY(agent->stream<plugin::v1::methods::Trace>(
      kCore, request, [&printer](const plugin::v1::TraceLine& line) { printer.print(line); }));
  return 0;
}

Result<int> list_methods(Context& context, const ListOptions& options) {
  const ListShape shape{"{{.Method}}\t{{.Request}}\t{{.Response}}",
                        {{"Method", "METHOD"}, {"Request", "REQUEST"}, {"Response", "RESPONSE"}},
                        "Method"};
  const MessageJson json;
  std::vector<Value> rows;
  for (const MethodInfo& method : json.methods()) {
    Value row = Value::object();
    row.set("Method", method.name)
        .set("Request", (method.streams_in ? "stream " : "") + method.request);
    rows.push_back(row.set("Response", (method.streams_out ? "stream " : "") + method.response));
  }
  SKEP_TRY(print_list(context, shape, options, rows));
  return 0;
}

}  // namespace

void add_bus_commands(Command& root) {
  auto& bus = root.add("bus", "See and make calls on the agent's bus");
  auto options = std::make_shared<CallOptions>();
  bus.add("call", "Call a method with a JSON body and print the answer")
      .arguments("[OPTIONS] TARGET METHOD [JSON|-]", 2, 3)
      .parsed("--deadline", "duration", "Time the call may take (default 30s)",
              [options](const std::string& text) -> Status {
                SKEP_TRY_ASSIGN(const Duration time, model::parse_duration(text));
                options->deadline = std::chrono::duration_cast<std::chrono::milliseconds>(time);
                return ok();
              })
      .toggle("--compact,-c", options->compact, "Print the answer on one line")
      .run([options](Context& context, const auto& arguments) {
        return call(context, *options, arguments);
      });
  auto bodies = std::make_shared<bool>(false);
  bus.add("trace", "Print what passes over the bus until Ctrl-C")
      .arguments("[OPTIONS] [FILTER]", 0, 1)
      .toggle("--bodies,-b", *bodies, "Print the messages as JSON too")
      .run([bodies](Context& context, const auto& arguments) {
        return trace(context, *bodies, arguments);
      });
  auto list_options = std::make_shared<ListOptions>();
  auto& methods = bus.add("methods", "List the methods this agentctl knows");
  methods.arguments("[OPTIONS]", 0, 0);
  add_list_flags(methods, *list_options, "");
  methods.run([list_options](Context& context, const auto&) {
    return list_methods(context, *list_options);
  });
}

}  // namespace skep::ctl
