from rehearsal import toolchain

try:
    print(toolchain.pulumi_cli())
except toolchain.ToolchainError:
    try:
        print(f"building Pulumi {toolchain.VERSION}, once, with Go (a few minutes)", flush=True)
        print(toolchain.build_cli())
    except toolchain.ToolchainError as error:
        raise SystemExit(str(error)) from None
