#include "plugins/volume/local/local_driver.h"

#include <gtest/gtest.h>

#include "skep/testing/manual_env.h"

namespace skep::local {
namespace {

class FakeMounter final : public Mounter {
 public:
  Status mount(const MountSpec&, const std::string& target) override {
    if (fail) {
      return Error{Code::kUnavailable, "server does not answer"};
    }
    ++mounted[target];
    return ok();
  }
  Status unmount(const std::string& target) override {
    --mounted[target];
    return ok();
  }
  Result<int> count(const std::string& target) override { return mounted[target]; }
  std::map<std::string, int> mounted;
  bool fail = false;
};

class NoCore final : public rpc::Caller {
 public:
  rpc::CallId call(std::string, std::string_view, rpc::Body, rpc::CallOptions, rpc::OnReply) override {
    return 1;
  }
  void cancel(rpc::CallId) override {}
  std::shared_ptr<rpc::ClientStream> open(std::string, std::string_view, rpc::Body, rpc::CallOptions,
                                          rpc::StreamHandlers) override {
    return nullptr;
  }
};

class LocalVolume : public ::testing::Test {
 protected:
  LocalVolume() {
    start_.set_state_dir("/state");
    start_.set_run_dir("/run");
    restart();
  }
  void restart() {
    driver_ = std::make_unique<LocalVolumeDriver>(mounter_);
    ASSERT_TRUE(driver_->start({env_.env, core_, start_}));
  }
  auto create(const std::string& name, std::map<std::string, std::string> options = {}) {
    volume::v1::CreateRequest request;
    request.set_name(name);
    request.mutable_options()->insert(options.begin(), options.end());
    return driver_->create(request);
  }
  auto mount(const std::string& name, const std::string& id) {
    volume::v1::MountRequest request;
    request.set_name(name);
    request.set_mount_id(id);
    return driver_->mount(request);
  }
  auto unmount(const std::string& name, const std::string& id) {
    volume::v1::UnmountRequest request;
    request.set_name(name);
    request.set_mount_id(id);
    return driver_->unmount(request);
  }
  auto remove(const std::string& name) {
    volume::v1::RemoveRequest request;
    request.set_name(name);
    return driver_->remove(request);
  }
  static std::map<std::string, std::string> tmpfs() { return {{"type", "tmpfs"}, {"device", "tmpfs"}}; }

  testing::ManualEnv env_;
  FakeMounter mounter_;
  NoCore core_;
  plugin::v1::StartRequest start_;
  std::unique_ptr<LocalVolumeDriver> driver_;
};

TEST_F(LocalVolume, CreateIsIdempotentAndRefusesOtherOptions) {
  ASSERT_TRUE(create("v", tmpfs()));
  EXPECT_TRUE(create("v", tmpfs()));
  EXPECT_TRUE(create("v")) << "naming no options means the volume as it is";
  EXPECT_EQ(create("v", {{"type", "ext4"}, {"device", "/dev/x"}}).error().code, Code::kAlreadyExists);
  EXPECT_EQ(create("../v").error().code, Code::kInvalidArgument);
  EXPECT_EQ(driver_->list()->size(), 1u);
}

TEST_F(LocalVolume, HoldsOneReferencePerMountId) {
  ASSERT_TRUE(create("v", tmpfs()));
  ASSERT_TRUE(mount("v", "t1"));
  ASSERT_TRUE(mount("v", "t1"));
  ASSERT_TRUE(mount("v", "t2"));
  EXPECT_EQ(mounter_.mounted["/state/volumes/v/_data"], 1);
  EXPECT_EQ(driver_->get("v")->mounts(), 2u);
  EXPECT_EQ(remove("v").error().code, Code::kFailedPrecondition);
  ASSERT_TRUE(unmount("v", "t1"));
  EXPECT_EQ(mounter_.mounted["/state/volumes/v/_data"], 1);
  ASSERT_TRUE(unmount("v", "t2"));
  ASSERT_TRUE(unmount("v", "never-mounted"));
  EXPECT_EQ(mounter_.mounted["/state/volumes/v/_data"], 0);
  ASSERT_TRUE(remove("v"));
  ASSERT_TRUE(remove("v"));
  EXPECT_EQ(driver_->get("v").error().code, Code::kNotFound);
}

TEST_F(LocalVolume, AFailedMountHoldsNothing) {
  ASSERT_TRUE(create("v", tmpfs()));
  mounter_.fail = true;
  EXPECT_EQ(mount("v", "t1").error().code, Code::kUnavailable);
  EXPECT_EQ(driver_->get("v")->mounts(), 0u);
  EXPECT_EQ(mount("none", "t1").error().code, Code::kNotFound);
}

TEST_F(LocalVolume, SurvivesARestartAndRecoversToWhatTheNodeUses) {
  ASSERT_TRUE(create("used", tmpfs()));
  ASSERT_TRUE(create("stale", tmpfs()));
  ASSERT_TRUE(mount("used", "t1"));
  ASSERT_TRUE(mount("stale", "t2"));
  mounter_.mounted["/state/volumes/used/_data"] = 2;  // a crash doubled it
  restart();
  volume::v1::RecoverRequest request;
  auto* held = request.add_mounts();
  held->set_name("used");
  held->set_mount_id("t1");
  ASSERT_TRUE(driver_->recover(request));
  EXPECT_EQ(mounter_.mounted["/state/volumes/used/_data"], 1);
  EXPECT_EQ(mounter_.mounted["/state/volumes/stale/_data"], 0);
  EXPECT_EQ(driver_->get("stale")->mounts(), 0u);
}

TEST_F(LocalVolume, EveryFailingDiskCallLeavesAVolumeOrNone) {
  for (std::uint64_t n = 1;; ++n) {
    env_.disk.fail_call(n, Error{Code::kResourceExhausted, "No space left on device", "DISK_FULL"});
    const auto created = create("v" + std::to_string(n));
    const bool failed = env_.disk.failed();
    env_.disk.fail_call(0, {});
    restart();
    EXPECT_TRUE(create("v" + std::to_string(n))) << "a repeat heals, n=" << n;
    if (!failed) {
      break;
    }
    EXPECT_FALSE(created);
  }
}

}  // namespace
}  // namespace skep::local
