#include "plugins/lib/nft.h"

#include <nftables/libnftables.h>

#include <memory>

namespace skep::lib {

Status run_nft_json(const std::string& json) {
  const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context(nft_ctx_new(NFT_CTX_DEFAULT),
                                                                  &nft_ctx_free);
  if (!context) {
    return Error{Code::kResourceExhausted, "nftables: out of memory"};
  }
  nft_ctx_output_set_flags(context.get(), NFT_CTX_OUTPUT_JSON);
  nft_ctx_buffer_output(context.get());
  nft_ctx_buffer_error(context.get());
  if (nft_run_cmd_from_buffer(context.get(), json.c_str()) != 0) {
    std::string message = nft_ctx_get_error_buffer(context.get());
    message = message.substr(0, message.find('\n'));
    return Error{Code::kInternal,
                 "the kernel refused the packet rules: " + message +
                     " (does this kernel have nftables with nat? see `agentctl doctor`)",
                 "NFT_FAILED"};
  }
  return ok();
}

}  // namespace skep::lib
