// The store with images from files: archives and layouts, names, removal, crashes, full disks.
#include <sys/mount.h>

#include "plugins/runtime/oci/images/testing_store.h"

namespace skep::oci {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::read_file;

class ROOT_ImageStore : public testing::StoreTest {
 protected:
  /// One archive for all tests: nobody writes into it.
  static void SetUpTestSuite() {
    shared_ = std::make_unique<testing::TempDirectory>();
    testing::make_image({"docker-archive:" + web_tar() + ":web:1"});
  }
  static void TearDownTestSuite() { shared_.reset(); }
  static std::string web_tar() { return shared_->path() + "/web.tar"; }
  static std::string archive() { return "docker-archive:" + web_tar(); }

 private:
  static inline std::unique_ptr<testing::TempDirectory> shared_;
};

TEST_F(ROOT_ImageStore, DemoAnArchiveBecomesLayersAndConfiguration) {
  const runtime::v1::Image image = must_pull(archive());
  EXPECT_THAT(image.tags(), ElementsAre("web:1"));
  EXPECT_THAT(image.health_check().test(), ElementsAre("CMD", "/bin/health"))
      << "Docker's health check survives";
  EXPECT_EQ(image.health_check().interval(), 2'000'000'000);

  const auto resolved = store_->resolve("web:1");
  ASSERT_TRUE(resolved) << resolved.error().message;
  EXPECT_EQ(resolved->image.id(), image.id());
  EXPECT_THAT(resolved->image.command(), ElementsAre("/bin/serve"));
  EXPECT_THAT(resolved->image.env(), ElementsAre("PATH=/bin"));
  EXPECT_THAT(resolved->image.exposed_ports(), ElementsAre("80/tcp"));
  EXPECT_EQ(resolved->image.stop_signal(), "SIGTERM");
  EXPECT_EQ(resolved->image.labels().at("org.example.text"), "v1");
  ASSERT_EQ(resolved->layer_dirs.size(), 2U);
  EXPECT_EQ(read_file(resolved->layer_dirs[0] + "/bin/busybox"), read_file("/usr/bin/busybox"));
  EXPECT_EQ(std::filesystem::read_symlink(resolved->layer_dirs[0] + "/bin/sh"), "busybox");
  EXPECT_EQ(read_file(resolved->layer_dirs[1] + "/www/text"), "v1\n")
      << "the upper layer comes last";
  EXPECT_GT(image.size_bytes(), 1'000'000);
  EXPECT_EQ(count_in("store/tmp"), 0U) << "nothing stays of the pull";
}

TEST_F(ROOT_ImageStore, IsFoundByEveryName) {
  const std::string id = must_pull(archive()).id();
  for (const std::string& name : {std::string("docker.io/library/web:1"), id, id.substr(7),
                                  id.substr(7, 12), id.substr(0, 20)}) {
    const auto image = store_->inspect(name);
    ASSERT_TRUE(image) << name << ": " << image.error().message;
    EXPECT_EQ(image->id(), id);
  }
  const auto other = store_->inspect("web:2");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kNotFound);
}

TEST_F(ROOT_ImageStore, TagNamesAnArchive) {
  EXPECT_THAT(must_pull(archive(), "", "127.0.0.1:5000/mine:7").tags(),
              ElementsAre("127.0.0.1:5000/mine:7"));
  const auto bad = pull(archive(), "", "Not A Name");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, Code::kInvalidArgument);
}

TEST_F(ROOT_ImageStore, ReadsOciLayoutsAndArchives) {
  testing::make_image({"oci:" + at("layout") + ":web", "oci-archive:" + at("web.oci") + ":web"});
  const runtime::v1::Image layout = must_pull("oci:" + at("layout") + ":web", "", "web:oci");
  const runtime::v1::Image packed = must_pull("oci-archive:" + at("web.oci"), "", "web:packed");
  EXPECT_EQ(layout.id(), packed.id());
  EXPECT_FALSE(layout.has_health_check()) << "OCI's format has none";
  EXPECT_EQ(lines_with("unpacking"), 0U) << "the layers are there already";
  const auto resolved = store_->resolve("web:oci");
  ASSERT_TRUE(resolved);
  EXPECT_EQ(read_file(resolved->layer_dirs[1] + "/www/text"), "v1\n");
}

TEST_F(ROOT_ImageStore, ArchivesWithSeveralImagesNeedAChoice) {
  testing::make_image({"-x", "v2", "docker-archive:" + at("v2.tar") + ":web:2"});
  // "docker save web:1 other:2" writes one table of contents over both.
  testing::must_run({"python3", "-c",
                     "import json,tarfile,sys\n"
                     "out=tarfile.open(sys.argv[3],'w'); toc=[]; seen=set()\n"
                     "for name in sys.argv[1:3]:\n"
                     "  for m in (t:=tarfile.open(name)).getmembers():\n"
                     "    if m.name=='manifest.json': toc+=json.load(t.extractfile(m))\n"
                     "    elif m.isfile() and m.name not in seen: seen.add(m.name); "
                     "out.addfile(m,t.extractfile(m))\n"
                     "import io; b=json.dumps(toc).encode(); i=tarfile.TarInfo('manifest.json'); "
                     "i.size=len(b); out.addfile(i,io.BytesIO(b)); out.close()\n",
                     web_tar(), at("v2.tar"), at("both.tar")});
  const std::string both = "docker-archive:" + at("both.tar");
  const auto none = pull(both);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kInvalidArgument);
  EXPECT_THAT(none.error().message, HasSubstr("web:2"));
  EXPECT_THAT(must_pull(both + ":web:2").tags(), ElementsAre("web:2"));
  EXPECT_EQ(read_file(store_->resolve("web:2")->layer_dirs.back() + "/www/text"), "v2\n");
  EXPECT_THAT(must_pull(both + ":@0").tags(), ElementsAre("web:1"));
  const auto other = pull(both + ":web:3");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kNotFound);
}

TEST_F(ROOT_ImageStore, SaysWhatIsWrongWithAFile) {
  std::ofstream(at("text")) << "just text";
  struct Row {
    std::string image;
    Code code;
  };
  for (const Row& row : std::vector<Row>{{"docker-archive:" + at("nowhere"), Code::kNotFound},
                                         {"docker-archive:" + at("text"), Code::kInvalidArgument},
                                         {"oci:" + at("nowhere") + ":1", Code::kNotFound},
                                         {"oci-archive:" + at("text"), Code::kInvalidArgument},
                                         {"oci:relative/path", Code::kInvalidArgument}}) {
    const auto pulled = pull(row.image);
    ASSERT_FALSE(pulled) << row.image;
    EXPECT_EQ(pulled.error().code, row.code) << row.image << ": " << pulled.error().message;
  }
  EXPECT_EQ(count_in("store/images/sha256"), 0U);
  EXPECT_EQ(count_in("store/layers/sha256"), 0U);
}

TEST_F(ROOT_ImageStore, MissingSkopeoSaysWhatToInstall) {
  options_.skopeo = at("no-such-program");
  open();
  const auto pulled = pull(archive());
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(pulled.error().message, HasSubstr("install"));
}

TEST_F(ROOT_ImageStore, RefusesAnImageForAnotherMachine) {
  options_.architecture = "s390x";
  open();
  const auto pulled = pull(archive());
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(pulled.error().message, HasSubstr("linux/amd64"));
}

TEST_F(ROOT_ImageStore, RemovingKeepsSharedLayers) {
  testing::make_image({"-x", "v2", "docker-archive:" + at("v2.tar") + ":web:2"});
  const std::string one = must_pull(archive()).id();
  must_pull("docker-archive:" + at("v2.tar"));
  EXPECT_EQ(lines_with("unpacking"), 1U) << "the base layer is shared";
  EXPECT_EQ(count_in("store/layers/sha256"), 3U);
  EXPECT_EQ(store_->list()->size(), 2U);

  const auto removed = store_->remove("web:1", RemoveMode::kIfUnused, {});
  ASSERT_TRUE(removed) << removed.error().message;
  EXPECT_THAT(removed->untagged(), ElementsAre("web:1"));
  EXPECT_THAT(removed->deleted(), Contains(one));
  EXPECT_EQ(removed->deleted_size(), 2) << "the image and its own layer";
  EXPECT_EQ(count_in("store/layers/sha256"), 2U);
  const auto left = store_->resolve("web:2");
  ASSERT_TRUE(left);
  EXPECT_TRUE(std::filesystem::exists(left->layer_dirs[0] + "/bin/busybox"));
  ASSERT_TRUE(store_->remove("web:2", RemoveMode::kIfUnused, {}));
  EXPECT_EQ(count_in("store/layers/sha256"), 0U);
  EXPECT_EQ(store_->remove("web:2", RemoveMode::kIfUnused, {}).error().code, Code::kNotFound);
}

TEST_F(ROOT_ImageStore, AnImageInUseIsOnlyUntaggedByForce) {
  const std::string id = must_pull(archive()).id();
  const auto used = [&](const std::string& image) { return image == id ? "web.1.abc" : ""; };
  const auto refused = store_->remove("web:1", RemoveMode::kIfUnused, used);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("web.1.abc"));
  ASSERT_TRUE(store_->remove("web:1", RemoveMode::kForce, used));
  EXPECT_FALSE(store_->resolve("web:1"));
  EXPECT_TRUE(store_->resolve(id)) << "the container's layers are there";
  ASSERT_TRUE(store_->remove(id, RemoveMode::kIfUnused, {}));
  EXPECT_EQ(count_in("store/layers/sha256"), 0U);
}

TEST_F(ROOT_ImageStore, ATagThatMovesLeavesAnImageWithoutName) {
  testing::make_image({"-x", "v2", "docker-archive:" + at("v2.tar") + ":web:1"});
  const std::string before = must_pull(archive()).id();
  const std::string after = must_pull("docker-archive:" + at("v2.tar")).id();
  EXPECT_NE(before, after);
  EXPECT_EQ(store_->inspect("web:1")->id(), after);
  EXPECT_EQ(store_->inspect(before)->tags_size(), 0);
}

TEST_F(ROOT_ImageStore, SurvivesRestartAndRemovesWhatACrashLeft) {
  const std::string id = must_pull(archive()).id();
  const auto before = store_->resolve("web:1");
  const std::string junk = at("store/tmp/layer-half-1/fs/bin");
  std::filesystem::create_directories(junk);
  std::filesystem::create_directories(at("store/layers/sha256/" + std::string(64, 'e') + "/fs"));
  open();
  EXPECT_EQ(count_in("store/tmp"), 0U);
  EXPECT_FALSE(std::filesystem::exists(at("store/layers/sha256/" + std::string(64, 'e'))));
  const auto after = store_->resolve("web:1");
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->image.id(), id);
  EXPECT_EQ(after->layer_dirs, before->layer_dirs);
}

TEST_F(ROOT_ImageStore, ALayerWithoutRecordIsNoLayer) {
  must_pull(archive());
  const auto resolved = store_->resolve("web:1");
  std::filesystem::remove(std::filesystem::path(resolved->layer_dirs[1]).parent_path() /
                          "layer.json");
  std::filesystem::remove_all(resolved->layer_dirs[1]);
  EXPECT_FALSE(store_->resolve("web:1"));
  must_pull(archive());
  EXPECT_EQ(lines_with("unpacking"), 1U) << "only what is missing";
  EXPECT_EQ(read_file(store_->resolve("web:1")->layer_dirs[1] + "/www/text"), "v1\n");
}

TEST_F(ROOT_ImageStore, ADamagedRecordIsReportedAndRepaired) {
  const std::string id = must_pull(archive()).id();
  std::ofstream(at("store/images/sha256/" + id.substr(7) + ".json")) << "{";
  const auto damaged = store_->resolve("web:1");
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, Code::kDataLoss);
  EXPECT_THAT(damaged.error().message, HasSubstr("pull it again"));
  EXPECT_TRUE(store_->list()->empty());
  open();
  EXPECT_EQ(count_in("store/layers/sha256"), 2U)
      << "nothing is removed while a record is unreadable";
  must_pull(archive());
  EXPECT_TRUE(store_->resolve("web:1"));
}

TEST_F(ROOT_ImageStore, ALostRecordTakesNoLayersWithIt) {
  const std::string id = must_pull(archive()).id();
  std::filesystem::remove(at("store/images/sha256/" + id.substr(7) + ".json"));
  open();
  EXPECT_EQ(count_in("store/layers/sha256"), 2U) << "containers may run on them";
  must_pull(archive());
  EXPECT_TRUE(store_->resolve("web:1"));
  std::ofstream(at("store/names.json")) << "{\"names\": {\"web";
  open();
  EXPECT_EQ(count_in("store/layers/sha256"), 2U);
  const auto listed = store_->list();
  ASSERT_FALSE(listed);
  EXPECT_EQ(listed.error().code, Code::kDataLoss);
  EXPECT_THAT(listed.error().message, HasSubstr("store/names.json: is damaged"));
  EXPECT_THAT(listed.error().message, HasSubstr("remove it"));
}

TEST_F(ROOT_ImageStore, RefusesADirectoryOfANewerFormat) {
  std::ofstream(at("store/version")) << "skep-images-9\n";
  const auto opened = ImageStore::open(real_.env, options_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kFailedPrecondition);
}

TEST_F(ROOT_ImageStore, AFullDiskLeavesNothingHalf) {
  std::filesystem::create_directories(at("small"));
  ASSERT_EQ(::mount("tmpfs", at("small").c_str(), "tmpfs", 0, "size=2500k"), 0);
  options_.directory = at("small/store");
  open();
  const auto pulled = pull(archive());
  EXPECT_FALSE(pulled);
  if (!pulled) {
    EXPECT_EQ(pulled.error().code, Code::kResourceExhausted) << pulled.error().message;
  }
  EXPECT_EQ(count_in("small/store/layers/sha256"), 0U);
  EXPECT_EQ(count_in("small/store/images/sha256"), 0U);
  store_.reset();
  EXPECT_EQ(::umount2(at("small").c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace skep::oci
