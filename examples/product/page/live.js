// The link to the device's hub: what changes there comes by itself.

import { connect } from "./mangusta.js";

// hub is opened when somebody is logged in.
export const hub = connect("/hub", { open: false, delta: true, hiddenInterval: 5000 });

// follow calls f with each message of a topic, the newest at once. It returns what ends that.
export function follow(topic, f) {
  const sub = hub.subscribe(topic, ({ data }) => f(data));
  return () => sub.close();
}
