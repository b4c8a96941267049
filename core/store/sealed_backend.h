#pragma once

// A backend whose objects lie sealed on the disk: whatever another backend keeps, with the object bytes
// of every row sealed by the swarm's data key and bound to the row's place. Ids, versions and times stay
// readable. Callers see plain rows, in the state's hash as in transfers. Called as StateBackend says.

#include <memory>

#include "core/base/sealing.h"
#include "core/store/state_backend.h"
#include "skep/env.h"

namespace skep::store {

/// Also for what else holds rows outside memory (backups).
void seal_row(const base::Sealer& sealer, StoredRow& row, Random& random);
/// kFailedPrecondition WRONG_SEAL_KEY, kDataLoss STATE_DAMAGED; the message names the row.
Status unseal_row(const base::Sealer& sealer, StoredRow& row);

class SealedBackend final : public StateBackend {
 public:
  /// `random` is asked on worker threads and outlives this object.
  SealedBackend(std::shared_ptr<StateBackend> inner, std::shared_ptr<const base::Sealer> sealer,
                Random& random);

  Result<LoadedState> open() override;
  Status write(const StateBatch& batch) override;
  Status sync() override { return inner_->sync(); }
  Result<std::unique_ptr<StateCursor>> snapshot() override;
  Status begin_install() override { return inner_->begin_install(); }
  Status install(const std::vector<StoredRow>& rows) override;
  Result<LoadedState> finish_install(const v1::AppliedMark& mark) override;
  Status set_aside() override { return inner_->set_aside(); }
  [[nodiscard]] std::string description() const override { return inner_->description(); }

 private:
  [[nodiscard]] Result<LoadedState> unsealed(Result<LoadedState> loaded) const;

  const std::shared_ptr<StateBackend> inner_;
  const std::shared_ptr<const base::Sealer> sealer_;
  Random& random_;
};

}  // namespace skep::store
