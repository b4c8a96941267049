#include "core/agentctl/doctor/doctor.h"

#include <fmt/format.h>

#include <memory>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/doctor/probe.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/output/list.h"

namespace skep::ctl {
namespace {

std::string_view word(Verdict verdict) {
  return verdict == Verdict::kOk ? "ok" : verdict == Verdict::kWarning ? "warning" : "bad";
}

std::string painted(Verdict verdict, bool colour) {
  const std::string text = fmt::format("{:<8}", word(verdict));
  const int code = verdict == Verdict::kOk ? 32 : verdict == Verdict::kWarning ? 33 : 31;
  return colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
}

Result<int> doctor(Context& context, const std::string& format) {
  const std::vector<Finding> findings = judge(probe_machine(context));
  std::size_t bad = 0;
  std::size_t warnings = 0;
  std::vector<Value> rows;
  for (const Finding& finding : findings) {
    bad += finding.verdict == Verdict::kBad ? 1 : 0;
    warnings += finding.verdict == Verdict::kWarning ? 1 : 0;
    Value row = Value::object();
    row.set("Check", finding.check)
        .set("Verdict", word(finding.verdict))
        .set("Detail", finding.detail);
    rows.push_back(row.set("Advice", finding.advice));
    if (format.empty()) {
      context.out << fmt::format("{} {:<16} {}\n",
                                 painted(finding.verdict, context.terminal.colour), finding.check,
                                 finding.detail);
      context.out << (finding.advice.empty() ? "" : fmt::format("{:<26}{}\n", "", finding.advice));
    }
  }
  if (!format.empty()) {
    const ListShape shape{
        "{{.Verdict}}\t{{.Check}}\t{{.Detail}}\t{{.Advice}}",
        {{"Verdict", "VERDICT"}, {"Check", "CHECK"}, {"Detail", "DETAIL"}, {"Advice", "ADVICE"}},
        "Check"};
    SKEP_TRY(print_list(context, shape, {.format = format}, rows));
  } else {
    context.out << fmt::format("\n{} checks: {} bad, {} warning{}\n", findings.size(), bad, warnings,
                               warnings == 1 ? "" : "s");
  }
  return bad > 0 ? 1 : 0;
}

}  // namespace

void add_doctor_command(Command& root) {
  auto format = std::make_shared<std::string>();
  root.add("doctor", "Check whether this machine is fit to run an agent")
      .arguments("[OPTIONS]", 0, 0)
      .text("--format", *format, "string", "'table', 'json' or a Go template")
      .run([format](Context& context, const auto&) { return doctor(context, *format); });
}

}  // namespace skep::ctl
