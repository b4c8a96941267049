#include "core/agentctl/output/list.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/template/template.h"
#include "core/agentctl/text.h"

namespace skep::ctl {
namespace {

constexpr std::size_t kColumnMin = 10;
constexpr std::size_t kColumnGap = 3;

// Shells pass '\t' as two characters; people mean the tab.
std::string unescape(std::string_view format) {
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const std::string_view pair = format.substr(i, 2);
    if (pair == "\\t" || pair == "\\n") {
      out += pair == "\\t" ? '\t' : '\n';
      ++i;
    } else {
      out += format[i];
    }
  }
  return out;
}

Value header_row(const ListShape& shape) {
  Value header = Value::object();
  for (const Column& column : shape.columns) {
    header.set(column.field, column.header);
  }
  header.set("Label", Value::function([](const Value::List& arguments) -> Result<Value> {
               std::string name = arguments.empty() ? "" : arguments[0].print();
               std::transform(name.begin(), name.end(), name.begin(),
                              [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
               return Value(name.substr(name.rfind('.') + 1));
             }));
  return header;
}

Status print_table(Context& context, const ListShape& shape, std::string_view columns,
                   const std::vector<Value>& rows) {
  SKEP_TRY_ASSIGN(const Template row_template, Template::parse(columns));
  SKEP_TRY_ASSIGN(std::string text, row_template.run(header_row(shape)));
  text += '\n';
  for (const Value& row : rows) {
    SKEP_TRY_ASSIGN(const std::string line, row_template.run(row));
    text += line + '\n';
  }
  context.out << align_columns(text);
  return ok();
}

// Fields of a row in alphabetical order: what `--format json` prints.
Value sorted_row(const Value& row) {
  Value::Map members = *row.as_map();
  std::sort(members.begin(), members.end(),
            [](const Value::Member& a, const Value::Member& b) { return a.key < b.key; });
  return Value(std::move(members));
}

}  // namespace

void add_list_flags(Command& command, ListOptions& options, std::string filters, bool truncates) {
  command.text("--format", options.format, "string",
               "'table', 'table TEMPLATE', 'json', 'raw' or a Go template, as '{{.ID}}'");
  command.toggle("--quiet,-q", options.quiet, "Print ids only");
  if (!filters.empty()) {
    command.list("--filter,-f", options.filters, fmt::format("KEY=VALUE, keys: {}", filters));
  }
  if (truncates) {
    command.toggle("--no-trunc", options.no_trunc, "Do not cut what is long");
  }
}

Status print_list(Context& context, const ListShape& shape, const ListOptions& options,
                  const std::vector<Value>& rows) {
  const std::string format = unescape(options.format);
  if (options.quiet && format.empty()) {
    for (const Value& row : rows) {
      context.out << row.find(shape.quiet)->print() << '\n';
    }
    return ok();
  }
  if (format.empty() || format == "table") {
    return print_table(context, shape, shape.table, rows);
  }
  if (format.starts_with("table ") || format.starts_with("table\t")) {
    return print_table(context, shape, std::string_view(format).substr(6), rows);
  }
  if (format == "json") {
    for (const Value& row : rows) {
      context.out << to_json(sorted_row(row)) << '\n';
    }
    return ok();
  }
  if (format == "raw" && shape.raw.empty()) {
    return Error{Code::kInvalidArgument, "--format: 'raw' is no format of this list: use table, json or a template",
                 std::string(kUsageReason)};
  }
  SKEP_TRY_ASSIGN(const Template row_template,
                  Template::parse(format != "raw" ? format : options.quiet ? shape.raw_quiet : shape.raw));
  for (const Value& row : rows) {
    SKEP_TRY_ASSIGN(const std::string line, row_template.run(row));
    context.out << line << '\n';
  }
  return ok();
}

Status print_inspection(Context& context, const std::vector<Value>& objects,
                        const std::string& format,
                        const std::set<std::string, std::less<>>& absent) {
  if (format.empty()) {
    context.out << to_pretty_json(Value(objects)) << '\n';
    return ok();
  }
  if (format == "json") {
    context.out << to_json(Value(objects)) << '\n';
    return ok();
  }
  SKEP_TRY_ASSIGN(const Template each, Template::parse(unescape(format)));
  for (const Value& object : objects) {
    SKEP_TRY_ASSIGN(const std::string text, each.run(object, absent));
    context.out << text << '\n';
  }
  return ok();
}

std::string align_columns(std::string_view text) {
  std::vector<std::vector<std::string>> lines;
  std::vector<std::size_t> widths;
  if (text.ends_with('\n')) {
    text.remove_suffix(1);
  }
  for (const std::string& line : split(text, '\n')) {
    lines.push_back(split(line, '\t'));
    for (std::size_t i = 0; i + 1 < lines.back().size(); ++i) {
      widths.resize(std::max(widths.size(), i + 1), kColumnMin);
      widths[i] = std::max(widths[i], display_width(lines.back()[i]) + kColumnGap);
    }
  }
  std::string out;
  for (const auto& cells : lines) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      out += cells[i];
      if (i + 1 < cells.size()) {
        out.append(widths[i] - display_width(cells[i]), ' ');
      }
    }
    out += '\n';
  }
  return out;
}

}  // namespace skep::ctl
