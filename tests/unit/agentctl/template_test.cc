#include "core/agentctl/template/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace skep::ctl {
namespace {

Value sample() {
  Value spec = Value::object();
  spec.set("Name", "web")
      .set("Replicas", 3)
      .set("Ratio", 0.25)
      .set("On", true)
      .set("None", Value());
  spec.set("Labels", Value::object().set("zone", "b").set("app.tier", "front"));
  spec.set("Args", Value(Value::List{"a", "b", "c"}));
  Value data = Value::object();
  data.set("ID", "abc123").set("Spec", spec).set("Empty", Value::list());
  data.set("Label", Value::function([](const Value::List& a) -> Result<Value> {
             return Value("label:" + (a.empty() ? std::string("?") : a[0].print()));
           }));
  return data;
}

std::string render(std::string_view source) {
  auto parsed = Template::parse(source);
  if (!parsed) {
    return "parse error: " + parsed.error().message;
  }
  auto out = parsed->run(sample(), {"Absent", "Deep"});
  return out ? *out : "error: " + out.error().message;
}

struct Case {
  std::string source;
  std::string expected;
};
class TemplateTable : public testing::TestWithParam<Case> {};

TEST_P(TemplateTable, RendersAsGoDoes) {
  EXPECT_EQ(render(GetParam().source), GetParam().expected) << GetParam().source;
}

INSTANTIATE_TEST_SUITE_P(
    Good, TemplateTable,
    testing::Values(
        Case{"", ""}, Case{"plain }} text", "plain }} text"}, Case{"{{.ID}}", "abc123"},
        Case{"{{ .Spec.Name }}/{{.Spec.Replicas}}", "web/3"},
        Case{"{{.Spec.Ratio}} {{.Spec.On}}", "0.25 true"},
        Case{"{{json .Spec.Args}}", R"(["a","b","c"])"},
        Case{"{{.Spec.Labels | json}}", R"({"zone":"b","app.tier":"front"})"},
        Case{"{{json .ID}} {{json .Spec.None}}", R"("abc123" null)"},
        Case{R"({{join .Spec.Args ","}})", "a,b,c"},
        Case{"{{.Spec.Name | upper | printf \"%s!\"}}", "WEB!"},
        Case{"{{lower \"ABC\"}} {{title \"ab cd\"}}", "abc Ab Cd"},
        Case{"{{len .Spec.Args}} {{len .ID}} {{len .Spec.Labels}}", "3 6 2"},
        Case{"{{index .Spec.Args 1}} {{index .Spec.Labels \"app.tier\"}}", "b front"},
        Case{"{{index .Spec.Labels \"nope\"}}", "<no value>"}, Case{"{{.Spec.Labels.zone}}", "b"},
        Case{"{{slice .ID 0 3}} {{slice .Spec.Args 1}}", "abc [b c]"},
        Case{"{{if .Spec.On}}yes{{else}}no{{end}}", "yes"},
        Case{"{{if not .Spec.On}}yes{{else}}no{{end}}", "no"},
        Case{"{{if .Empty}}1{{else if eq .Spec.Name \"web\"}}2{{else}}3{{end}}", "2"},
        Case{"{{if and .Spec.On (gt .Spec.Replicas 2)}}big{{end}}", "big"},
        Case{"{{if or .Empty .Absent}}x{{else}}y{{end}}", "y"},
        Case{"{{and .Empty .Nope.Nope}}", "[]"},
        Case{"{{with .Spec}}{{.Name}}{{end}}{{with .Empty}}x{{else}}-{{end}}", "web-"},
        Case{"{{range .Spec.Args}}<{{.}}>{{end}}", "<a><b><c>"},
        Case{"{{range $i, $a := .Spec.Args}}{{if $i}},{{end}}{{$i}}={{$a}}{{end}}", "0=a,1=b,2=c"},
        Case{"{{range $k, $v := .Spec.Labels}}{{$k}}={{$v}};{{end}}", "app.tier=front;zone=b;"},
        Case{"{{range .Empty}}x{{else}}none{{end}}", "none"},
        Case{"{{range .Spec.Args}}{{$.ID}} {{end}}", "abc123 abc123 abc123 "},
        Case{"{{range .Spec.Args}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"},
        Case{"{{range .Spec.Args}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac"},
        Case{"{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"},
        Case{"a  {{- \" b \" -}}  c", "a b c"}, Case{"{{/* note */}}x{{- /* y */ -}} z", "xz"},
        Case{"{{println .ID}}", "abc123\n"},
        Case{"{{printf \"%-5s|%05d|%.2f|%q|%v|%%\" \"ab\" 42 1.5 \"q\" true}}",
             "ab   |00042|1.50|\"q\"|true|%"},
        Case{"{{printf \"%d\" \"x\"}} {{printf \"%s\"}}", "%!d(string=x) %!s(MISSING)"},
        Case{"{{.Spec}}",
             "map[Name:web Replicas:3 Ratio:0.25 On:true None:<nil> Labels:map[zone:b "
             "app.tier:front] Args:[a b c]]"},
        Case{"{{.Label \"zone\"}}", "label:zone"}, Case{"{{\"zone\" | .Label}}", "label:zone"},
        Case{"{{(index .Spec.Args 0)}}{{(.Spec).Name}}", "aweb"}, Case{"{{`raw\\n`}}", "raw\\n"},
        Case{"{{.Absent}} {{.Absent.Deep.X}}", "<no value> <no value>"},
        Case{"{{print 1 2 \"a\" \"b\"}}", "1 2ab"},
        Case{"{{eq .Spec.Replicas 1 2 3}} {{ne 1 2}} {{lt 1 1.5}} {{le \"a\" \"b\"}} {{ge 2 2}}",
             "true true true true true"},
        Case{"{{pad \"x\" 1 2}}|{{truncate \"abcdef\" 3}}|{{join (split \"a:b\" \":\") \"+\"}}",
             " x  |abc|a+b"}));

class MalformedTemplate : public testing::TestWithParam<Case> {};
TEST_P(MalformedTemplate, SaysWhatIsWrong) {
  EXPECT_THAT(render(GetParam().source), testing::HasSubstr(GetParam().expected))
      << GetParam().source;
}
INSTANTIATE_TEST_SUITE_P(
    Bad, MalformedTemplate,
    testing::Values(
        Case{"{{.ID", "this {{ is never closed"}, Case{"{{", "never closed"},
        Case{"{{}}", "missing here"}, Case{"{{if .ID}}x", "no matching {{end}}"},
        Case{"x{{end}}", "without an open"}, Case{"{{else}}", "without an open"},
        Case{"{{.Spec.Nmae}}", "there is no field '.Nmae', did you mean 'Name'?"},
        Case{"{{.ID.Foo}}", "'.Foo' is read from a string"},
        Case{"{{jsn .}}", "there is no function 'jsn', did you mean 'json'?"},
        Case{"{{\"abc}}", "never closed"}, Case{"{{(.ID}}", "never closed"},
        Case{"{{.ID)}}", "unexpected ')'"}, Case{"{{template \"x\"}}", "not supported"},
        Case{"{{break}}", "outside of range"}, Case{"{{$x}}", "'$x' is not known"},
        Case{"{{$x = 1}}", "was not declared"}, Case{"{{index .Spec.Args 7}}", "out of range"},
        Case{"{{len 3}}", "takes a string, list or map"}, Case{"{{.ID 3}}", "not a function"},
        Case{"{{eq 1 \"a\"}}", "cannot be compared"}, Case{"{{range .ID}}{{end}}", "not a string"},
        Case{"{{1x}}", "is not a number"}, Case{"{{&}}", "unexpected '&'"},
        Case{"{{| .ID}}", "missing here"}, Case{"{{\"\\z\"}}", "unknown escape"},
        Case{"{{/* x }}", "comment"}, Case{"{{if}}{{end}}", "missing here"},
        Case{"{{join .ID \",\"}}", "takes a list"}));

TEST(Template, RefusesDeepNestingAndLongText) {
  EXPECT_FALSE(Template::parse("{{" + std::string(5000, '(') + "}}"));
  std::string blocks;
  for (int i = 0; i < 1000; ++i) {
    blocks += "{{if 1}}";
  }
  EXPECT_FALSE(Template::parse(blocks));
  EXPECT_FALSE(Template::parse(std::string(65537, 'x')));
}

TEST(Template, StopsWhenOutputExplodes) {
  std::string source;
  for (int i = 0; i < 16; ++i) {
    source += "{{range $.Spec.Args}}";
  }
  source += "0123456789";
  for (int i = 0; i < 16; ++i) {
    source += "{{end}}";
  }
  EXPECT_THAT(render(source), testing::HasSubstr("produces too much"));
}

// Whatever people type, the answer is text or an error.
TEST(Template, SurvivesRandomInput) {
  const std::vector<std::string> pieces{
      "{{",    "}}",  ".",      "ID",    ".Spec", "$",      "$x",  ":=",
      "=",     ",",   "|",      "(",     ")",     "\"",     "`",   "if ",
      "else ", "end", "range ", "with ", "json ", "index ", " ",   "-",
      "- ",    " -",  "/*",     "*/",    "1",     "-1",     "1.5", "printf \"%s%d%",
      "\\",    "\n",  "\xff"};
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 20000; ++round) {
    std::string source;
    for (std::size_t n = random() % 20; n > 0; --n) {
      source += pieces[random() % pieces.size()];
    }
    render(source);
  }
}

TEST(Value, PrintsJsonAsDockerDoes) {
  Value value = Value::object();
  value.set("A", Value(Value::List{1, "x\n\"", true}))
      .set("B", Value::object())
      .set("C", Value::list());
  EXPECT_EQ(to_json(value), R"({"A":[1,"x\n\"",true],"B":{},"C":[]})");
  EXPECT_EQ(to_pretty_json(value),
            "{\n    \"A\": [\n        1,\n        \"x\\n\\\"\",\n        true\n    ],\n    \"B\": "
            "{},\n    \"C\": []\n}");
}

}  // namespace
}  // namespace skep::ctl
