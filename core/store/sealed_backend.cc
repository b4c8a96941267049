#include "core/store/sealed_backend.h"

#include <utility>

namespace skep::store {
namespace {

std::string place_of(std::uint32_t table, const std::string& id) {
  return "row " + std::to_string(table) + "/" + id;
}

class SealedCursor final : public StateCursor {
 public:
  SealedCursor(std::unique_ptr<StateCursor> inner, std::shared_ptr<const base::Sealer> sealer)
      : inner_(std::move(inner)), sealer_(std::move(sealer)) {}

  [[nodiscard]] const v1::AppliedMark& mark() const override { return inner_->mark(); }
  Result<std::vector<StoredRow>> read(std::size_t bytes) override {
    SKEP_TRY_ASSIGN(auto rows, inner_->read(bytes));
    for (auto& row : rows) {
      SKEP_TRY(unseal_row(*sealer_, row));
    }
    return rows;
  }

 private:
  const std::unique_ptr<StateCursor> inner_;
  const std::shared_ptr<const base::Sealer> sealer_;
};

}  // namespace

void seal_row(const base::Sealer& sealer, StoredRow& row, Random& random) {
  row.object.set_object(sealer.seal(row.object.object(), place_of(row.table, row.id), random));
}

Status unseal_row(const base::Sealer& sealer, StoredRow& row) {
  const std::string place = place_of(row.table, row.id);
  auto plain = sealer.unseal(row.object.object(), place);
  if (!plain) {
    Error error = std::move(plain).error().with_context(place);
    if (error.code == Code::kDataLoss) {
      error.reason = "STATE_DAMAGED";
    }
    return error;
  }
  row.object.set_object(*std::move(plain));
  return ok();
}

SealedBackend::SealedBackend(std::shared_ptr<StateBackend> inner,
                             std::shared_ptr<const base::Sealer> sealer, Random& random)
    : inner_(std::move(inner)), sealer_(std::move(sealer)), random_(random) {}

Result<LoadedState> SealedBackend::unsealed(Result<LoadedState> loaded) const {
  if (!loaded) {
    return loaded;
  }
  for (auto& row : loaded->rows) {
    if (auto status = unseal_row(*sealer_, row); !status) {
      return std::move(status).error().with_context(inner_->description());
    }
  }
  return loaded;
}

Result<LoadedState> SealedBackend::open() { return unsealed(inner_->open()); }

Status SealedBackend::write(const StateBatch& batch) {
  StateBatch sealed;
  sealed.mark = batch.mark;
  for (const auto& [key, object] : batch.rows) {
    auto& slot = sealed.rows[key];
    if (object) {
      StoredRow row{key.first, key.second, *object};
      seal_row(*sealer_, row, random_);
      slot = std::move(row.object);
    }
  }
  return inner_->write(sealed);
}

Result<std::unique_ptr<StateCursor>> SealedBackend::snapshot() {
  SKEP_TRY_ASSIGN(auto inner, inner_->snapshot());
  return std::unique_ptr<StateCursor>(std::make_unique<SealedCursor>(std::move(inner), sealer_));
}

Status SealedBackend::install(const std::vector<StoredRow>& rows) {
  std::vector<StoredRow> sealed = rows;
  for (auto& row : sealed) {
    seal_row(*sealer_, row, random_);
  }
  return inner_->install(sealed);
}

Result<LoadedState> SealedBackend::finish_install(const v1::AppliedMark& mark) {
  return unsealed(inner_->finish_install(mark));
}

}  // namespace skep::store
