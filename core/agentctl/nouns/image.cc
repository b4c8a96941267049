#include <fmt/format.h>
#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <istream>
#include <iterator>
#include <memory>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/output/list.h"
#include "core/agentctl/shape/shape.h"
#include "core/agentctl/text.h"
#include "skep/runtime.methods.h"

namespace skep::ctl {
namespace {

using runtime::v1::Image;
constexpr const char* kRuntime = "runtime/oci";  // the driver of this node that has images
constexpr std::size_t kSpoolChunk = 1 << 20;
constexpr std::chrono::milliseconds kRemoveDeadline{120'000};

const ListShape kImages{"{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
                        {{"ID", "IMAGE ID"},
                         {"Repository", "REPOSITORY"},
                         {"Tag", "TAG"},
                         {"Digest", "DIGEST"},
                         {"CreatedSince", "CREATED"},
                         {"CreatedAt", "CREATED AT"},
                         {"Size", "SIZE"}},
                        "ID",
                        "repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\n"
                        "created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n",
                        "image_id: {{.ID}}"};
constexpr const char* kRawDigests =
    "repository: {{.Repository}}\ntag: {{.Tag}}\ndigest: {{.Digest}}\nimage_id: {{.ID}}\n"
    "created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";

constexpr std::string_view kArchives[] = {"docker-archive:", "oci-archive:", "oci:"};

bool is_archive(const std::string& name) {
  return std::any_of(std::begin(kArchives), std::end(kArchives),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

struct LsOptions {
  ListOptions list;
  bool digests = false;
  bool all = false;
};

std::string image_id(const std::string& id, bool no_trunc) {
  return no_trunc ? id : id.substr(id.starts_with("sha256:") ? 7 : 0, 12);
}

// "registry:5000/path:tag" into repository and tag.
std::pair<std::string, std::string> split_tag(const std::string& name) {
  const std::size_t colon = name.rfind(':');
  const std::size_t slash = name.rfind('/');
  if (colon == std::string::npos || (slash != std::string::npos && colon < slash)) {
    return {name, "<none>"};
  }
  return {name.substr(0, colon), name.substr(colon + 1)};
}

Value image_row(Context& context, const Image& image, const std::string& tag,
                const ListOptions& options) {
  const auto [repository, version] =
      tag.empty() ? std::pair<std::string, std::string>("<none>", "<none>") : split_tag(tag);
  std::string digest = "<none>";
  for (const std::string& known : image.digests()) {
    const std::size_t at = known.find('@');
    digest = at == std::string::npos ? known : known.substr(at + 1);
  }
  Value row = Value::object();
  row.set("ID", image_id(image.id(), options.no_trunc))
      .set("Repository", repository)
      .set("Tag", version);
  row.set("Digest", digest).set("CreatedAt", print_time_long(image.created_at()));
  row.set("CreatedSince",
          image.created_at() == 0
              ? "N/A"
              : human_duration(Duration(context.clock.wall_now() - image.created_at())) + " ago");
  return row.set("Size", decimal_size(image.size_bytes()));
}

Result<int> list_images(Context& context, const LsOptions& options,
                        const std::vector<std::string>& patterns) {
  std::vector<std::string> wanted = patterns;
  SKEP_TRY_ASSIGN(const auto filters, parse_filters(options.list.filters, {"reference"}));
  for (const auto& filter : filters) {
    wanted.push_back(filter.value());
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const auto answer, agent->call<runtime::v1::methods::ListImages>(kRuntime, {}));
  std::vector<Image> images(answer.images().begin(), answer.images().end());
  std::sort(images.begin(), images.end(),
            [](const Image& a, const Image& b) { return a.created_at() > b.created_at(); });
  std::vector<Value> rows;
  for (const Image& image : images) {
    std::vector<std::string> tags(image.tags().begin(), image.tags().end());
    if (tags.empty() && wanted.empty()) {
      tags.emplace_back();
    }
    for (const std::string& tag : tags) {
      const std::string repository = split_tag(tag).first;
      const bool matches =
          std::any_of(wanted.begin(), wanted.end(), [&](const std::string& pattern) {
            return fnmatch(pattern.c_str(), tag.c_str(), 0) == 0 ||
                   fnmatch(pattern.c_str(), repository.c_str(), 0) == 0;
          });
      if (wanted.empty() || matches) {
        rows.push_back(image_row(context, image, tag, options.list));
      }
    }
  }
  ListShape shape = kImages;
  if (options.digests) {
    shape.table = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
    shape.raw = kRawDigests;
  }
  SKEP_TRY(print_list(context, shape, options.list, rows));
  return 0;
}

// Runs a pull to its end and answers the image it brought.
Result<Image> fetch(Context& context, const runtime::v1::PullRequest& request, bool quiet) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  Image image;
  std::string shown;
  SKEP_TRY(agent->stream<runtime::v1::methods::Pull>(
      kRuntime, request, [&](const runtime::v1::PullProgress& progress) {
        if (!quiet && !progress.status().empty() && progress.status() != shown) {
          context.out << progress.status() << '\n' << std::flush;
          shown = progress.status();
        }
        if (progress.has_image()) {
          image = progress.image();
        }
      }));
  return image;
}

// A file for what comes in on stdin; removed when the command ends.
class Spool {
 public:
  explicit Spool(Context& context) : context_(context) {
    const std::string directory =
        context.variable("TMPDIR").empty() ? "/tmp" : context.variable("TMPDIR");
    path_ = fmt::format("{}/agentctl-load-{}-{:x}.tar", directory, getpid(), context.random.next());
  }
  ~Spool() { (void)context_.disk.remove(path_); }
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  Status fill() {
    SKEP_TRY_ASSIGN(const auto file, context_.disk.open(path_, OpenMode::kCreate));
    std::string chunk(kSpoolChunk, '\0');
    std::uint64_t offset = 0;
    while (context_.in.read(chunk.data(), static_cast<std::streamsize>(chunk.size())) ||
           context_.in.gcount() > 0) {
      const auto size = static_cast<std::size_t>(context_.in.gcount());
      SKEP_TRY(file->write(offset, std::string_view(chunk).substr(0, size)));
      offset += size;
    }
    return offset > 0
               ? ok()
               : Status(Error{Code::kInvalidArgument,
                              "nothing came in on stdin: name an archive with --input FILE"});
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  Context& context_;
  std::string path_;
};

struct LoadOptions {
  std::string input;
  std::string tag;
  bool quiet = false;
};

Result<int> finish_load(Context& context, const runtime::v1::PullRequest& request, bool quiet) {
  SKEP_TRY_ASSIGN(const Image image, fetch(context, request, true));
  if (image.tags().empty()) {
    context.out << "Loaded image ID: " << image.id() << '\n';
  }
  for (const std::string& tag : image.tags()) {
    context.out << (quiet ? "" : "Loaded image: ") << tag << '\n';
  }
  return 0;
}

Result<int> load(Context& context, const LoadOptions& options) {
  runtime::v1::PullRequest request;
  request.set_tag(options.tag);
  std::unique_ptr<Spool> spool;
  for (const std::string_view prefix : kArchives) {
    if (options.input.starts_with(prefix)) {
      request.set_image(std::string(prefix) + absolute_path(options.input.substr(prefix.size())));
      return finish_load(context, request, options.quiet);
    }
  }
  std::string path = options.input.empty() ? "" : absolute_path(options.input);
  if (path.empty()) {
    if (context.terminal.input) {
      return Error{Code::kInvalidArgument,
                   "stdin is a terminal: name an archive with --input FILE, or pipe one in",
                   "USAGE"};
    }
    spool = std::make_unique<Spool>(context);
    SKEP_TRY(spool->fill());
    path = spool->path();
  } else if (!context.disk.exists(path)) {
    return Error{Code::kNotFound, fmt::format("there is no file '{}'", path)};
  }
  const bool layout = context.disk.exists(path + "/oci-layout");
  request.set_image((layout ? "oci:" : "docker-archive:") + path);
  return finish_load(context, request, options.quiet);
}

struct PullOptions {
  bool quiet = false;
  bool no_content_trust = true;
};

Result<int> pull(Context& context, const PullOptions& options, const std::string& name) {
  if (!options.no_content_trust) {
    return Error{Code::kUnimplemented,
                 "--disable-content-trust=false is not there yet: signatures of images are not checked; name the "
                 "image by its digest",
                 "NOT_YET"};
  }
  if (!is_archive(name)) {
    SKEP_TRY(check_image(name));
  }
  runtime::v1::PullRequest request;
  request.set_image(name);
  SKEP_TRY_ASSIGN(*request.mutable_registry_auth(), registry_auth_for(context, name));
  SKEP_TRY_ASSIGN(const Image image, fetch(context, request, options.quiet));
  context.out << (image.tags().empty() ? image.id() : image.tags(0)) << '\n';
  return 0;
}

Result<int> remove(Context& context, bool force, const std::vector<std::string>& references) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  return for_each_reference(context, references, [&](const std::string& reference) -> Status {
    runtime::v1::RemoveImageRequest request;
    request.set_image(reference);
    request.set_force(force);
    SKEP_TRY_ASSIGN(const auto answer, agent->call<runtime::v1::methods::RemoveImage>(
                                           kRuntime, request, kRemoveDeadline));
    for (const std::string& name : answer.untagged()) {
      context.out << "Untagged: " << name << '\n';
    }
    for (const std::string& name : answer.deleted()) {
      context.out << "Deleted: " << name << '\n';
    }
    return ok();
  });
}

Result<int> inspect(Context& context, const std::string& format,
                    const std::vector<std::string>& references) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  std::vector<Value> objects;
  const int exit_code =
      for_each_reference(context, references, [&](const std::string& reference) -> Status {
        runtime::v1::InspectImageRequest request;
        request.set_image(reference);
        SKEP_TRY_ASSIGN(const auto answer,
                        agent->call<runtime::v1::methods::InspectImage>(kRuntime, request));
        objects.push_back(image_shape(answer.image()));
        return ok();
      });
  SKEP_TRY(print_inspection(context, objects, format, absent_fields()));
  return exit_code;
}

void add_list(Command& parent, const char* names) {
  auto options = std::make_shared<LsOptions>();
  auto& command = parent.add(names, "List the images of this node");
  command.arguments("[OPTIONS] [REPOSITORY[:TAG]...]", 0).completes("image");
  add_list_flags(command, options->list, "reference", true);
  command.toggle("--digests", options->digests, "Show digests");
  command.toggle("--all,-a", options->all, "Accepted for scripts: every image is shown");
  command.run([options](Context& context, const auto& patterns) {
    return list_images(context, *options, patterns);
  });
}

void add_load(Command& parent) {
  auto options = std::make_shared<LoadOptions>();
  parent.add("load", "Load an image from an archive (docker save) or an OCI layout")
      .arguments("[OPTIONS]", 0, 0)
      .text("--input,-i", options->input, "file", "Archive or directory to read instead of stdin")
      .text("--tag", options->tag, "string", "Name for an image that has none")
      .toggle("--quiet,-q", options->quiet, "Print names only")
      .run([options](Context& context, const auto&) { return load(context, *options); });
}

void add_pull(Command& parent) {
  auto options = std::make_shared<PullOptions>();
  parent.add("pull", "Fetch an image from a registry to this node")
      .arguments("[OPTIONS] NAME[:TAG|@DIGEST]", 1, 1)
      .toggle("--quiet,-q", options->quiet, "Print the name only")
      .toggle("--disable-content-trust", options->no_content_trust,
              "Accepted for scripts: signatures are not checked")
      .later("--all-tags,-a", "", "pull one tag after the other")
      .later("--platform", "string", "images are those of the node's own platform")
      .run([options](Context& context, const auto& names) {
        return pull(context, *options, names.front());
      });
}

void add_remove(Command& parent, const char* names) {
  auto force = std::make_shared<bool>(false);
  auto no_prune = std::make_shared<bool>(false);
  parent.add(names, "Remove images from this node")
      .arguments("[OPTIONS] IMAGE [IMAGE...]", 1)
      .completes("image")
      .toggle("--force,-f", *force, "Also when containers use it")
      .toggle("--no-prune", *no_prune, "Accepted for scripts: images have no untagged parents")
      .run([force, no_prune](Context& context, const auto& references) {
        return remove(context, *force, references);
      });
}

}  // namespace

void add_image_commands(Command& root) {
  auto& image = root.add("image", "Images of this node");
  add_list(image, "ls,list");
  add_load(image);
  add_pull(image);
  add_remove(image, "rm,remove");
  auto format = std::make_shared<std::string>();
  image.add("inspect", "Show images in full")
      .arguments("[OPTIONS] IMAGE [IMAGE...]", 1)
      .completes("image")
      .text("--format,-f", *format, "string", "'json' or a Go template")
      .run([format](Context& context, const auto& references) {
        return inspect(context, *format, references);
      });
  add_later_verbs(image);
  add_list(root, "images");
  add_load(root);
  add_pull(root);
  add_remove(root, "rmi");
}

}  // namespace skep::ctl
