// The types of mangusta.js.

export interface Options {
  /** Returns the token for the server: for each try, and again before the token expires. */
  token?: () => string | undefined | Promise<string | undefined>;
  /** For how long the link may be silent, in ms, before the server is asked for a sign; 20,000. */
  silence?: number;
  /** How long that may take, in ms; 10,000. */
  answer?: number;
  /** In a hidden tab each topic comes once in this many ms, its newest message alone. 0 or nothing: all come. */
  hiddenInterval?: number;
  /** The server may send of JSON objects what has changed; handlers get the whole all the same. */
  delta?: boolean;
  /** false: only open() begins. */
  open?: boolean;
}

export interface Message {
  readonly topic: string;
  /** 0 for a message to this connection alone. */
  readonly offset: number;
  /** What was published: of JSON the value, of other text a string, of bytes a Uint8Array. With delta it must not be changed. */
  readonly data: any;
  /** The topic has been deleted. */
  readonly deleted?: boolean;
}

export interface Receipt {
  readonly offset: number;
  readonly subscribers: number;
}

export interface Subscription {
  readonly pattern: string;
  close(): void;
}

export interface SubscribeOptions {
  /** The offset of the last message that the page has; 0 asks for all that is kept. Without it the subscription begins now, with what the hub retains. */
  since?: number;
}

export interface HubEvents {
  /** Messages come, after all that was missed. */
  up: CustomEvent<{ transport: "websocket" | "eventsource" }>;
  /** The link is lost; the next try is in so many ms. */
  down: CustomEvent<{ wait: number; reason: string; code?: number }>;
  /** A message, of any subscription. */
  message: CustomEvent<Message>;
  /** So many messages are missing here, at most. With reset it is another run of the server, or another stream. */
  missed: CustomEvent<{ missed: number; reset: boolean }>;
  /** After "missed" with reset: what the page knows may be of no worth. */
  reset: CustomEvent<{ missed: number }>;
  /** The server does not allow this pattern; the subscription is over. */
  refused: CustomEvent<{ pattern: string; error: string }>;
  /** The server does not take the token. Without Options.token the link is closed, until open(). */
  denied: CustomEvent<{ reason: string }>;
}

export class Hub extends EventTarget {
  constructor(url: string | URL, options?: Options);
  readonly isUp: boolean;
  readonly transport: "websocket" | "eventsource" | "";
  open(): void;
  close(): void;
  retryNow(): void;
  subscribe(pattern: string, handler?: (message: Message) => void, options?: SubscribeOptions): Subscription;
  publish(topic: string, data: unknown): Promise<Receipt>;
  addEventListener<K extends keyof HubEvents>(type: K, listener: (event: HubEvents[K]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}

export function connect(url: string | URL, options?: Options): Hub;
