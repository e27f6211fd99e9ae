/**
 * The default of every option, and `resolveOptions`, which checks them all before anything is sent.
 *
 * Behind it there is one shape for both versions. The user's objects are read once and neither written to nor
 * kept, so they may be changed and used again; for that reason nothing is cached by their identity either.
 */

import { UsageError } from '../core/errors.ts'
import { type Codec, mqtt311, mqtt5 } from '../core/packets/codec.ts'
import type { Properties, ProtocolVersion, WillMessage } from '../core/packets/types.ts'
import type { SessionStore } from '../store/store.ts'
import type { DialOptions } from '../transport/dial-options.ts'
import type { Dial } from '../transport/transport.ts'
import { resolveUrls } from './broker-urls.ts'
import type {
  ClientOptions,
  OnHandlerError,
  OnSessionLost,
  OnUnknownSession,
  Options311,
  Options5,
  PoolOptions,
  Resubscribe,
  TopicAliases,
  VersionChoice,
} from './client-options.ts'
import {
  type Authentication,
  checkExpiry,
  checkLogin311,
  type CredentialsFunction,
  type Login,
  type ReconnectFunction,
  resolveAuthentication,
  resolveLogin,
  resolveQueue,
  type ResolvedQueue,
  type ResolvedReconnect,
  resolveReconnect,
  resolveWill,
} from './connect-options.ts'
import { checkDialOptions } from './dial-options.ts'
import {
  checkAll,
  checkBoolean,
  checkProperties,
  checkText,
  checkWhole,
  defaultsOf,
  delay,
  FOUR_BYTES,
  methods,
  needsVersion5,
  oneOf,
  optionalFunction,
  propertyRules,
  TWO_BYTES,
  type Version5,
  whole,
  withDefaults,
} from './option-checks.ts'
import type { Runtime } from './runtime.ts'

/** All options, checked, in one shape for both versions; see `ClientOptions` for their meaning. */
export interface ResolvedOptions extends DialOptions {
  readonly urls: readonly URL[]
  readonly protocolVersion: VersionChoice
  readonly version5: Version5
  /** What to speak, the first that the server understands: two for `'auto'`. */
  readonly codecs: readonly [Codec] | readonly [Codec, Codec]
  readonly clientId: string
  /** Of a version 5 CONNECT; in 3.1.1 the same as `cleanSession`. */
  readonly cleanStart: boolean
  /** Of a 3.1.1 CONNECT, also of the one that `'auto'` falls back to. */
  readonly cleanSession: boolean
  /** Seconds, at most 0xFFFFFFFF, which is for good. */
  readonly sessionExpiryInterval: number
  /**
   * All that a version 5 CONNECT says for its user: the properties that were set and no others, so without the
   * Authentication Data.
   */
  readonly properties: Properties | undefined
  readonly onUnknownSession: OnUnknownSession
  readonly keepAlive: number
  readonly pingTimeout: number
  readonly connectTimeout: number
  readonly operationTimeout: number
  readonly username: string | undefined
  readonly password: Uint8Array | undefined
  readonly credentials: CredentialsFunction | undefined
  readonly authentication: Authentication | undefined
  readonly will: WillMessage | undefined
  readonly reconnect: ResolvedReconnect | ReconnectFunction | false
  readonly retryInitialConnect: boolean
  readonly resubscribe: Resubscribe
  readonly onSessionLost: OnSessionLost
  readonly queue: ResolvedQueue
  readonly poisonLimit: number
  readonly store: SessionStore | undefined
  readonly receiveMaximum: number
  readonly topicAliasMaximum: number
  readonly topicAliases: TopicAliases
  readonly maximumPacketSize: number
  readonly maxInflight: number
  /** Undefined with `'auto'` until the version is known: then `maxInflightQos2Of` says. */
  readonly maxInflightQos2: number | undefined
  readonly maxPending: number
  readonly maxPendingBytes: number
  readonly onHandlerError: OnHandlerError
  readonly handlerTimeout: number
  readonly unmatchedTimeout: number
  readonly maxFiltersPerSubscribe: number
  readonly runtime: Runtime | undefined
  readonly dial: Dial | undefined
}

/** Every name that there is, so that all others can be refused. */
type OptionName = keyof Options311 | keyof Options5

/** Names that users of other clients try, and what they are here. */
const MEANT: Readonly<Record<string, string>> = {
  ca: 'tls.ca',
  cert: 'tls.cert',
  clean: 'cleanSession, or cleanStart in version 5',
  host: 'the URL',
  hostname: 'the URL',
  key: 'tls.key',
  path: 'the URL or websocket.path',
  pfx: 'tls.pfx',
  port: 'the URL',
  protocol: 'the URL',
  queueQoSZero: 'queue.qos0',
  reconnectPeriod: 'reconnect.min',
  rejectUnauthorized: 'tls.rejectUnauthorized',
  servername: 'tls.servername',
  userProperties: 'properties.userProperties',
  wsOptions: 'websocket',
}

/** The options that 3.1.1 has no words for. */
const ONLY_IN_5 = [
  'cleanStart',
  'sessionExpiryInterval',
  'receiveMaximum',
  'topicAliasMaximum',
  'topicAliases',
  'authentication',
  'properties',
] as const satisfies readonly OptionName[]

/**
 * A default mosquitto 2.0 has 20 places for QoS 1 and 2 together, answers what comes beyond them and drops it, and 3.1.1
 * cannot tell the client. QoS 1 leaves its place at once, so one free place keeps both whole.
 */
const MAX_INFLIGHT_QOS2_311 = 19
/** Of 65,535 packet ids, 16 are kept for SUBSCRIBE and UNSUBSCRIBE. */
const MAX_INFLIGHT = 65_519
const NEVER_EXPIRES = 0xffffffff

/** The options that are properties of CONNECT when they are set, 5: 3.1.2.11. */
const LIMITS = [
  'sessionExpiryInterval',
  'receiveMaximum',
  'topicAliasMaximum',
  'maximumPacketSize',
] as const satisfies readonly OptionName[]

type Given = Readonly<Record<OptionName, unknown>>
type Limits = Readonly<Record<(typeof LIMITS)[number], number>>

/** Of a client and of a pool. */
const PLATFORM_RULES = {
  runtime: [undefined, methods<Runtime>('now', 'wallTime', 'random', 'setTimer', 'defer', 'report')],
  dial: [undefined, optionalFunction<Dial>],
} as const

/**
 * What each of these options is when it is not set, and what it may be; the others depend on the version, or on each
 * other. The parts of `reconnect` and `queue` are in connect-options.ts.
 */
const RULES = {
  ...PLATFORM_RULES,
  protocolVersion: ['3.1.1', oneOf<VersionChoice>('3.1.1', '5', 'auto')],
  onUnknownSession: ['adopt', oneOf<OnUnknownSession>('adopt', 'close')],
  keepAlive: [60, whole(0, TWO_BYTES)],
  pingTimeout: [10_000, delay(1)],
  connectTimeout: [30_000, delay(1)],
  operationTimeout: [60_000, delay(0)],
  retryInitialConnect: [false, checkBoolean],
  resubscribe: ['session-lost', oneOf<Resubscribe>('never', 'session-lost', 'always')],
  onSessionLost: ['resend', oneOf<OnSessionLost>('resend', 'fail')],
  poisonLimit: [5, whole(0, FOUR_BYTES)],
  store: [undefined, methods<SessionStore>('open', 'append', 'replace', 'close')],
  receiveMaximum: [65_535, whole(1, TWO_BYTES)],
  topicAliasMaximum: [0, whole(0, TWO_BYTES)],
  topicAliases: ['off', oneOf<TopicAliases>('off', 'auto', 'manual')],
  maximumPacketSize: [16_777_216, whole(1, FOUR_BYTES)],
  maxInflight: [MAX_INFLIGHT, whole(1, MAX_INFLIGHT)],
  maxPending: [1_000, whole(1, Infinity)],
  maxPendingBytes: [16_777_216, whole(0, Infinity)],
  onHandlerError: ['acknowledge', oneOf<OnHandlerError>('acknowledge', 'reconnect', 'stop')],
  handlerTimeout: [0, delay(0)],
  unmatchedTimeout: [5_000, delay(0)],
  maxFiltersPerSubscribe: [65_535, whole(1, Infinity)],
} as const

/** What the others are when they are not set. */
const UNSET: Record<Exclude<OptionName, keyof typeof RULES>, unknown> = {
  cleanSession: true,
  cleanStart: true,
  sessionExpiryInterval: 0,
  clientId: undefined,
  username: undefined,
  password: undefined,
  credentials: undefined,
  authentication: undefined,
  will: undefined,
  properties: undefined,
  reconnect: undefined,
  queue: undefined,
  maxInflightQos2: undefined,
  tls: undefined,
  socket: undefined,
  lookup: undefined,
  websocket: undefined,
  proxy: undefined,
}

export const DEFAULTS: Given = { ...UNSET, ...defaultsOf(RULES) }

const LETTERS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const CLIENT_ID_LENGTH = 22

const CONNECT_PROPERTIES = propertyRules(
  'connect',
  'userProperties',
  'requestResponseInformation',
  'requestProblemInformation',
)

/**
 * Checks the URLs and options of a client and fills in what is not set.
 *
 * @param random from 0 up to 1; makes the client id when none is given
 * @throws UsageError that names the option, what was expected and what came
 */
export function resolveOptions(
  input: string | URL | readonly (string | URL)[],
  options: ClientOptions = {},
  random: () => number,
): ResolvedOptions {
  const given = withDefaults('', options, DEFAULTS, MEANT)
  const checked = checkDialOptions(checkAll(RULES, given))
  const { protocolVersion } = checked
  const version5: Version5 = protocolVersion === '3.1.1' ? 'no' : protocolVersion === '5' ? 'yes' : 'auto'
  checkTerms(options, version5)
  const { urls, username, password } = resolveUrls(input, checked.websocket?.path)
  const session = resolveSession(given, version5)
  const authentication = resolveAuthentication(given.authentication)
  const login = resolveIdentity(given, { username, password }, version5)
  const resolved: ResolvedOptions = {
    // Not behind the spreads: a literal that begins with one costs every client 15 µs and 1 KB more.
    urls,
    ...checked,
    ...session,
    ...login,
    version5,
    codecs: version5 === 'no' ? [mqtt311] : version5 === 'yes' ? [mqtt5] : [mqtt5, mqtt311],
    clientId: given.clientId === undefined ? randomClientId(random) : checkText('clientId', given.clientId),
    authentication,
    properties:
      version5 === 'no'
        ? undefined
        : resolveConnectProperties(options, { ...checked, ...session }, authentication),
    will: resolveWill(given.will, version5),
    reconnect: resolveReconnect(given.reconnect),
    queue: resolveQueue(given.queue),
    maxInflightQos2: resolveQos2(given.maxInflightQos2, checked.maxInflight, version5),
  }
  if (version5 === 'no') check311(resolved, resolved)
  return Object.freeze(resolved)
}

/**
 * What a 3.1.1 CONNECT cannot say: asked for its own options, and by a client that `'auto'` made fall back.
 *
 * @throws UsageError
 */
export function check311(options: ResolvedOptions, login: Login): void {
  if (options.authentication !== undefined) throw needsVersion5('authentication')
  checkLogin311(login)
  if (options.clientId !== '' || options.cleanSession) return
  // [3.1.1 MQTT-3.1.3-7]
  const message = 'expected a name for a session that outlives its connection, got ""'
  throw new UsageError('invalid-option', 'clientId', message)
}

/** The version's own words for the session, and no others. */
function checkTerms(options: ClientOptions, version5: Version5): void {
  if (version5 === 'no') {
    const name = ONLY_IN_5.find((option) => options[option] !== undefined)
    if (name !== undefined) throw needsVersion5(name)
  } else if (options.cleanSession !== undefined) {
    const message = "expected cleanStart and sessionExpiryInterval with protocolVersion '5' and 'auto'"
    throw new UsageError('invalid-option', 'cleanSession', `${message}, got the term of 3.1.1`)
  }
}

function resolveSession(
  given: Given,
  version5: Version5,
): Pick<ResolvedOptions, 'cleanStart' | 'cleanSession' | 'sessionExpiryInterval'> {
  if (version5 === 'no') {
    const cleanSession = checkBoolean('cleanSession', given.cleanSession)
    return { cleanStart: cleanSession, cleanSession, sessionExpiryInterval: cleanSession ? 0 : NEVER_EXPIRES }
  }
  const cleanStart = checkBoolean('cleanStart', given.cleanStart)
  const sessionExpiryInterval = checkExpiry('sessionExpiryInterval', given.sessionExpiryInterval)
  return { cleanStart, cleanSession: cleanStart && sessionExpiryInterval === 0, sessionExpiryInterval }
}

/** Only what the user has set: a CONNECT names no default. */
function resolveConnectProperties(
  options: ClientOptions,
  checked: Limits,
  authentication: Authentication | undefined,
): Properties | undefined {
  const set: Record<string, unknown> = {
    ...checkProperties('properties', options.properties, CONNECT_PROPERTIES),
  }
  for (const name of LIMITS) if (options[name] !== undefined) set[name] = checked[name]
  if (authentication !== undefined) set['authenticationMethod'] = authentication.method
  return Object.keys(set).length === 0 ? undefined : Object.freeze(set)
}

function resolveIdentity(
  given: Given,
  fromUrl: { username: string | undefined; password: string | undefined },
  version5: Version5,
): Login & Pick<ResolvedOptions, 'credentials'> {
  const { username, password } = given
  const credentials = optionalFunction<CredentialsFunction>('credentials', given.credentials)
  const fixed = username !== undefined || password !== undefined
  if (credentials === undefined)
    return { ...resolveLogin(fixed ? { username, password } : fromUrl, version5), credentials }
  if (!fixed) return { username: undefined, password: undefined, credentials }
  const message = 'expected either this function or username and password, got both'
  throw new UsageError('invalid-option', 'credentials', message)
}

function resolveQos2(given: unknown, maxInflight: number, version5: Version5): number | undefined {
  if (given !== undefined) return checkWhole('maxInflightQos2', given, 1, MAX_INFLIGHT)
  return version5 === 'auto' ? undefined : defaultQos2(maxInflight, version5)
}

function defaultQos2(maxInflight: number, version5: Version5): number {
  return version5 === 'no' ? Math.min(maxInflight, MAX_INFLIGHT_QOS2_311) : maxInflight
}

/** Whether a connection can say what only version 5 has words for. */
export function speaks5({ protocolVersion }: { readonly protocolVersion: ProtocolVersion }): boolean {
  return protocolVersion === '5'
}

/** `maxInflightQos2` once the version is known. */
export function maxInflightQos2Of(options: ResolvedOptions, protocolVersion: ProtocolVersion): number {
  return options.maxInflightQos2 ?? defaultQos2(options.maxInflight, protocolVersion === '5' ? 'yes' : 'no')
}

/** [3.1.1 MQTT-3.1.3-5] [5 MQTT-3.1.3-5]: every server takes up to 23 of these characters. */
function randomClientId(random: () => number): string {
  let id = ''
  while (id.length < CLIENT_ID_LENGTH) id += LETTERS.charAt(Math.floor(random() * LETTERS.length))
  return id
}

export interface ResolvedPoolOptions {
  readonly maxAttempts: number
  readonly attemptsPerSecond: number
  readonly dnsTtl: number
  readonly runtime: Runtime | undefined
  readonly dial: Dial | undefined
}

const POOL_RULES = {
  ...PLATFORM_RULES,
  maxAttempts: [100, whole(1, Infinity)],
  attemptsPerSecond: [100, whole(1, Infinity)],
  dnsTtl: [30_000, delay(0)],
} as const

export function resolvePoolOptions(options: PoolOptions | undefined): ResolvedPoolOptions {
  return Object.freeze(checkAll(POOL_RULES, withDefaults('', options, defaultsOf(POOL_RULES))))
}
