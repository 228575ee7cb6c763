"""Goal's small steps; the equations are in ``clipper.environments.hybrid.goal``."""

import math

from clipper.environments.hybrid.kernels.compiled import compiled

PITCH_LENGTH, PITCH_WIDTH = 40, 30
GOAL_WIDTH, GOAL_DEPTH = 14.02, 2.44
LINE, POST = PITCH_LENGTH / 2, GOAL_WIDTH / 2
KICKABLE, CATCHABLE = 0.9 + 0.7, 2.0
INERTIA = 5.0
MAX_DECISIONS, MAX_SMALL_STEPS = 100, 10_000

PLAYER, KEEPER, BALL = 0, 5, 10  # rows where their x, y, vx, vy begin; a player's fifth is its orientation
TIME, SUCCESS = 14, 15

# Power rate, size, noise, largest acceleration and speed, decay: of players and of the ball.
BODY = (0.006, 0.9, 0.1, 1.0, 1.0, 0.4)
ROUND = (0.027, 0.4, 0.05, 2.7, 2.7, 0.94)
RATE, SIZE, NOISE, MAX_ACCELERATION, MAX_SPEED, DECAY = range(6)


@compiled
def decide(state, kicks, target_x, target_y, generator, over, reward, terminated):
    """One decision of every copy that is not over: a kick to the target, or a shot at it until the episode ends."""
    for i in range(len(kicks)):
        if over[i]:
            continue
        s = state[:, i].copy()
        s[TIME] += 1
        if s[TIME] == MAX_DECISIONS:
            reward[i], terminated[i] = -goal_distance(s), True
        running = not terminated[i]
        for _ in range(MAX_SMALL_STEPS):
            if not running:
                break
            small_step(s, target_x[i], target_y[i], generator)
            reward[i], terminated[i] = outcome(s, generator)
            rolls = norm(s[BALL + 2], s[BALL + 3]) > 0.1
            running = not terminated[i] and (not kicks[i] or rolls or distance(s, PLAYER, BALL) > KICKABLE)
        s[SUCCESS] = reward[i] > 0
        state[:, i] = s


@compiled
def small_step(s, target_x, target_y, generator):
    """The player kicks, or goes to the ball; the keeper moves; all roll on, bounce off and slow down."""
    if distance(s, PLAYER, BALL) <= KICKABLE:
        kick(s, target_x, target_y, generator)
    else:
        to_ball(s, generator)
    keep(s, generator)
    for body in (PLAYER, KEEPER, BALL):
        decay = ROUND[DECAY] if body == BALL else BODY[DECAY]
        for k in range(body, body + 2):
            s[k] += s[k + 2]
            s[k + 2] *= decay
    bounce(s, PLAYER, KEEPER)
    bounce(s, PLAYER, BALL)
    bounce(s, KEEPER, BALL)


@compiled
def outcome(s, generator):
    """Reward and end: 50 in the net; minus the distance to goal when caught or out of the field; 0 and on otherwise."""
    x, y = s[BALL], s[BALL + 1]
    if LINE <= x <= LINE + GOAL_DEPTH and -POST <= y <= POST:
        return 50.0, True
    generator.random()  # the original draws whether a catch succeeds, with probability 1
    outside = not (0 <= x <= LINE and -PITCH_WIDTH / 2 <= y <= PITCH_WIDTH / 2)
    if outside or distance(s, KEEPER, BALL) < CATCHABLE:
        return -goal_distance(s), True
    return 0.0, False


@compiled
def kick(s, target_x, target_y, generator):
    """Kick such that the ball would come to rest at the target, as far as power goes."""
    angle = math.atan2(s[BALL + 1] - s[PLAYER + 1], s[BALL] - s[PLAYER])
    turned = abs(norm_angle(angle - s[PLAYER + 4]))
    effect = 1 - 0.25 * turned / math.pi - 0.25 * distance(s, PLAYER, BALL) / KICKABLE
    ax = (1 - ROUND[DECAY]) * (target_x - s[PLAYER]) - s[BALL + 2]
    ay = (1 - ROUND[DECAY]) * (target_y - s[PLAYER + 1]) - s[BALL + 3]
    power = norm(ax, ay) / (effect * ROUND[RATE])
    direction = math.atan2(ay, ax) - s[PLAYER + 4]
    accelerate(s, BALL, bound(power, 100.0) * effect, s[PLAYER + 4] + direction, ROUND, generator)


@compiled
def to_ball(s, generator):
    """Turn to the ball; once it is ahead, run."""
    angle = math.atan2(s[BALL + 1] - s[PLAYER + 1], s[BALL] - s[PLAYER])
    if abs(norm_angle(s[PLAYER + 4] - angle)) < math.pi / 8:
        accelerate(s, PLAYER, 10.0, s[PLAYER + 4], BODY, generator)
    else:
        moment = norm_angle(angle - s[PLAYER + 4])
        s[PLAYER + 4] += moment / (1 + INERTIA * norm(s[PLAYER + 2], s[PLAYER + 3]))


@compiled
def keep(s, generator):
    """The keeper runs to where it can cross a shot's line, or to where the ball will rest if that is no shot."""
    x, y = s[BALL], s[BALL + 1]
    end_x, end_y = x + s[BALL + 2] / (1 - ROUND[DECAY]), y + s[BALL + 3] / (1 - ROUND[DECAY])
    slope = (end_y - y) / (end_x - x) if end_x - x != 0 else 0.0
    height = y - slope * x
    at_goal = slope * PITCH_LENGTH / 2 + height
    power = 8.0
    if end_x > LINE and -POST - CATCHABLE <= at_goal <= POST + CATCHABLE and slope != 0:
        power, across = 20.0, -1 / slope
        end_x = (s[KEEPER + 1] - across * s[KEEPER] - height) / (slope - across)
        end_y = slope * end_x + height
    s[KEEPER + 4] = math.atan2(end_y - s[KEEPER + 1], end_x - s[KEEPER])
    accelerate(s, KEEPER, power, s[KEEPER + 4], BODY, generator)


@compiled
def accelerate(s, body, power, angle, kind, generator):
    """V ← v + power·rate·e((1 + ε)·angle) + noise in proportion to the speed; each component is bounded."""
    angle = (1 + generator.uniform(-kind[NOISE], kind[NOISE])) * angle
    spread = kind[NOISE] * norm(s[body + 2], s[body + 3])
    noise_x = generator.uniform(-spread, spread)
    noise_y = generator.uniform(-spread, spread)
    rate = power * kind[RATE]
    ax = bound(rate * math.cos(angle) + noise_x, kind[MAX_ACCELERATION])
    ay = bound(rate * math.sin(angle) + noise_y, kind[MAX_ACCELERATION])
    s[body + 2] = bound(s[body + 2] + ax, kind[MAX_SPEED])
    s[body + 3] = bound(s[body + 3] + ay, kind[MAX_SPEED])


@compiled
def bounce(s, a, b):
    """Two that overlap are shifted apart, half the way each, and go back where they came from."""
    overlap = (BODY[SIZE] + (ROUND[SIZE] if b == BALL else BODY[SIZE]) - distance(s, a, b)) / 2
    if overlap > 0:
        to_a = math.atan2(s[a + 1] - s[b + 1], s[a] - s[b])
        to_b = math.atan2(s[b + 1] - s[a + 1], s[b] - s[a])
        s[a] += overlap * math.cos(to_a)
        s[a + 1] += overlap * math.sin(to_a)
        s[b] += overlap * math.cos(to_b)
        s[b + 1] += overlap * math.sin(to_b)
        for body in (a, b):
            s[body + 2] *= -1
            s[body + 3] *= -1


@compiled
def goal_distance(s):
    """From the ball to the goal's line; beside it, beyond that line, with the original's slip below the goal."""
    x, y = s[BALL], s[BALL + 1]
    beside = max(abs(y) - POST, 0.0)
    if x < LINE:
        return norm(x - LINE, beside) if beside > 0 else LINE - x
    return POST - y if y < -POST else beside


@compiled
def distance(s, a, b):
    """Between two bodies' centres."""
    return norm(s[a] - s[b], s[a + 1] - s[b + 1])


@compiled
def norm(x, y):
    """√(x² + y²)"""
    return math.sqrt(x * x + y * y)


@compiled
def bound(x, limit):
    """X within ±limit."""
    return min(max(x, -limit), limit)


@compiled
def norm_angle(angle):
    """The same angle within ±π."""
    while angle > math.pi:
        angle -= 2 * math.pi
    while angle < -math.pi:
        angle += 2 * math.pi
    return angle
