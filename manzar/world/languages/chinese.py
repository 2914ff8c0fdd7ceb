"""Chinese: measure words; the attribute stands before the noun, the place before the verb."""

from __future__ import annotations

from manzar.world.telling import Telling, Thing, listed

NOUNS: dict[str, tuple[str, str]] = {  # measure word, noun
    "circle": ("个", "圆形"),
    "square": ("个", "正方形"),
    "triangle": ("个", "三角形"),
    "star": ("颗", "星星"),
    "heart": ("颗", "爱心"),
    "ring": ("个", "圆环"),
    "person": ("个", "人"),
    "cat": ("只", "猫"),
    "fish": ("条", "鱼"),
    "car": ("辆", "汽车"),
    "boat": ("艘", "船"),
    "house": ("座", "房子"),
    "tree": ("棵", "树"),
}
COLOURS = {
    "red": "红色", "green": "绿色", "blue": "蓝色", "yellow": "黄色", "orange": "橙色", "purple": "紫色",
    "cyan": "青色", "magenta": "洋红色", "white": "白色", "black": "黑色", "gray": "灰色", "brown": "棕色",
}  # fmt: skip
SIZES = {"small": "较小的", "large": "较大的"}
VERBS: dict[str, tuple[str, str]] = {  # plain, in progress
    "left": ("向左移动", "正在向左移动"),
    "right": ("向右移动", "正在向右移动"),
    "up": ("向上移动", "正在向上移动"),
    "down": ("向下移动", "正在向下移动"),
    "up-left": ("向左上方移动", "正在向左上方移动"),
    "up-right": ("向右上方移动", "正在向右上方移动"),
    "down-left": ("向左下方移动", "正在向左下方移动"),
    "down-right": ("向右下方移动", "正在向右下方移动"),
    "bounce": ("上下弹跳", "正在上下弹跳"),
    "orbit": ("绕圈移动", "正在绕圈移动"),
    "grow": ("逐渐变大", "正在逐渐变大"),
    "shrink": ("逐渐变小", "正在逐渐变小"),
    "spin": ("原地旋转", "正在原地旋转"),
    "still": ("静止不动", "保持静止不动"),
}
PLACES = {  # as a place, and as a thing
    "gradient": ("在渐变色背景上", "渐变色"),
    "sky": ("在多云的天空前", "多云的天空"),
    "sea": ("在大海前", "大海"),
    "grass": ("在草地前", "草地"),
    "night": ("在星空前", "星空"),
}
CAMERAS = {
    "pan left": "镜头向左平移",
    "pan right": "镜头向右平移",
    "zoom in": "镜头逐渐拉近",
    "zoom out": "镜头逐渐拉远",
}
LOOKS = {"outline": "粗轮廓线风格", "pixelated": "像素风格", "monochrome": "黑白画面", "sepia": "棕褐色调画面"}
RELATIONS = {"left": "左边", "right": "右边", "above": "上方", "below": "下方"}


def say(told: Telling, phrasing: int) -> str:
    parts = [_moving(told, phrasing) if told.moving else _still(told, phrasing)]
    if told.look:
        parts[0] += f"，{LOOKS[told.look]}"
    if told.relation:
        first, second = (name(thing) for thing in told.things)
        parts.append(f"{first}在{second}的{RELATIONS[told.relation]}")
    if told.camera:
        parts.append(CAMERAS[told.camera])
    return "".join(f"{part}。" for part in parts)


def _moving(told: Telling, phrasing: int) -> str:
    if phrasing == 0:
        if len(told.things) == 1:
            return f"{_one(told.things[0])}{_place(told)}{_verb(told.things[0], 0)}"
        opening = f"{_place(told)}，" if _place(told) else ""
        return opening + "，".join(f"{_one(thing)}{_verb(thing, 0)}" for thing in told.things)
    if phrasing == 1:
        return "，".join(f"{_one(thing)}{_verb(thing, 1)}" for thing in told.things) + _behind(told)
    clauses = "，".join(f"{_one(thing)}{_verb(thing, 0)}" for thing in told.things)
    if phrasing == 2:
        return f"视频中，{clauses}{_behind(told)}"
    return f"{_place(told) or '画面里'}有{clauses}"


def _still(told: Telling, phrasing: int) -> str:
    things = listed([_one(thing) for thing in told.things], "、", "和")
    if phrasing == 0:
        return f"静态图片：{things}{_behind(told)}"
    if phrasing == 1:
        return f"图片中有{things}{_behind(told)}"
    if phrasing == 2:
        return f"一张静态图片，{_place(told) or '画面里'}有{things}"
    return f"{things}的静态图片{_behind(told)}"


def name(thing: Thing) -> str:
    """Attributes and noun: 较大的红色圆形, 红色的圆形, 穿红色衣服的人."""
    noun = NOUNS[thing.shape][1]
    if thing.colour is None:
        return SIZES.get(thing.size or "", "") + noun
    if thing.shape == "person":
        return f"{SIZES.get(thing.size or '', '')}穿{COLOURS[thing.colour]}衣服的{noun}"
    if thing.size:
        return f"{SIZES[thing.size]}{COLOURS[thing.colour]}{noun}"
    return f"{COLOURS[thing.colour]}的{noun}"


def _one(thing: Thing) -> str:
    return f"一{NOUNS[thing.shape][0]}{name(thing)}"


def _verb(thing: Thing, form: int) -> str:
    assert thing.motion is not None
    return VERBS[thing.motion][form]


def _place(told: Telling) -> str:
    if told.background is None:
        return ""
    return f"在{COLOURS[told.backdrop]}背景上" if told.background == "plain" else PLACES[told.background][0]


def _behind(told: Telling) -> str:
    if told.background is None:
        return ""
    return f"，背景是{COLOURS[told.backdrop] if told.background == 'plain' else PLACES[told.background][1]}"
