/** Which server is to run: a value, so that a change which changes nothing does not restart it. */

export interface ServerResolution {
  readonly command: string;
  readonly args: readonly string[];
  /** Who named it, for people; two resolutions are the same whoever named them. */
  readonly source: string;
}

export function isSameServer(one: ServerResolution | undefined, other: ServerResolution | undefined): boolean {
  if (one === undefined || other === undefined) {
    return one === other;
  }
  return (
    one.command === other.command &&
    one.args.length === other.args.length &&
    one.args.every((argument, index) => argument === other.args[index])
  );
}

/** The command of `foretrace` with other arguments; undefined where the server is no `foretrace lsp`. */
export function foretraceCommand(
  server: ServerResolution,
  ...args: readonly string[]
): readonly [string, ...string[]] | undefined {
  return server.args.at(-1) === "lsp" ? [server.command, ...server.args.slice(0, -1), ...args] : undefined;
}
