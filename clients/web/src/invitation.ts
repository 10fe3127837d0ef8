// The secret of an invitation's link, kept while somebody signs in: behind `?` it would reach the logs of servers.

const kept = (path: string): string => `hangar.invitation:${path}`;

/** Remembers what stands behind the `#` of an invitation, for this tab. */
export function keepSecret(path: string, hash: string): void {
  if (path.startsWith("/join/") && hash.length > 1) sessionStorage.setItem(kept(path), hash.slice(1));
}

/** The secret of the link that was opened, or that was remembered. */
export function secretOf(path: string, hash: string): string {
  return hash.length > 1 ? hash.slice(1) : (sessionStorage.getItem(kept(path)) ?? "");
}
