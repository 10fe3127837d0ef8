// Who is looking, and the API they look through.

import { Api, type Me, Refused } from "@hangar/protocol";
import { createResource, type Resource } from "solid-js";

export const api = new Api();

const [meResource, { refetch, mutate }] = createResource<Me | "stranger", never>(async () => {
  try {
    return await api.me();
  } catch (thrown) {
    const refusal = Refused.from(thrown);
    if (refusal.code === "unauthenticated") return "stranger";
    throw refusal;
  }
});

/** Who is signed in; `"stranger"` for nobody. */
export const whoever: Resource<Me | "stranger" | undefined> = meResource;

/** Who is signed in. */
export function me(): Me | undefined {
  if (meResource.error !== undefined) return undefined;
  const found = meResource();
  return found === "stranger" ? undefined : found;
}

export async function askWho(): Promise<void> {
  await refetch();
}

export async function signOut(): Promise<void> {
  await api.signOut();
  mutate(() => "stranger");
}

/** Calls when a request was refused because the sign-in has ended. */
export function noteRefusal(refusal: Refused): Refused {
  if (refusal.code === "unauthenticated") mutate(() => "stranger");
  return refusal;
}
