// @ts-check
/** What the live editors say, in English and in Chinese. The keys are the English texts. */

/** @type {Record<string, string>} */
const CHINESE = {
  "Run once to see the face here.": "运行一次，这里就会显示人脸。",
  "Plug in a portrait, and run once.": "接入肖像，然后运行一次。",
  "The text is no edit: correct it, or reset.": "文本不是有效的编辑：请改正，或重置。",
  "The text comes over a wire; unplug it to edit here.": "文本由连线传入；断开后才能在这里编辑。",
  "The preview failed: the server's log says why.": "预览失败：原因见服务器日志。",
  "Face": "人脸",
  "Face editor": "人脸编辑器",
  "Undo": "撤销",
  "Redo": "重做",
  "Reset": "重置",
  "Reset all": "全部重置",
  "Compare": "对比原图",
  "Copy": "复制",
  "Paste": "粘贴",
  "Save as preset": "存为预设",
  "Name of the preset": "预设的名称",
  "Save": "保存",
  "Cancel": "取消",
  "Saved as {}": "已保存为 {}",
  "Copied": "已复制",
  "There is no edit to paste: copy one first.": "没有可粘贴的编辑：请先复制。",
  "Turn": "转动",
  "Move": "移动",
  "Tilt": "倾斜",
  "What dragging the head does": "拖动头部的作用",
  "Motion timeline": "动作时间线",
  "The text is no performance: correct it.": "文本不是有效的表演：请改正。",
  "Play": "播放",
  "Snap": "吸附",
  "Snap to words and frames": "吸附到词和帧",
  "Zoom in": "放大",
  "Zoom out": "缩小",
  "Nod": "点头",
  "Shake": "摇头",
  "Add a key at the playhead": "在播放头处添加关键点",
  "Delete the key": "删除关键点",
  "Add a blink": "添加眨眼",
  "Time": "时间",
  "Emotion": "情绪",
  "Strength": "强度",
  "Easing": "过渡",
  "Gain": "增益",
  "Playhead": "播放头",
  "Blinks": "眨眼",
  "Key of {} at {} s": "{}关键点，{} 秒",
  "Double-click a lane to add a key; drag keys; click the sound to move the playhead.": "双击轨道添加关键点；拖动关键点；点击声音移动播放头。",
  "own": "原样",
  "linear": "匀速",
  "ease-in": "渐入",
  "ease-out": "渐出",
  "ease-in-out": "渐入渐出",
  "hold": "保持",
  "Emotions": "情绪",
  "Brows and eyes": "眉眼",
  "Mouth": "嘴",
  "Head": "头部",
  "Expression": "表情",
  "brows down": "皱眉",
  "inner brows": "内眉",
  "outer brows": "外眉",
  "smile": "微笑",
  "frown": "嘴角下垂",
  "corner": "歪嘴",
  "stretch": "拉宽",
  "squint": "眯眼",
  "lids": "闭眼",
  "sneer": "皱鼻",
  "opening": "张嘴",
  "x": "左右",
  "y": "上下",
  "size": "大小",
  "roll": "侧倾",
  "yaw": "转头",
  "pitch": "点头",
  "angry": "愤怒",
  "contempt": "轻蔑",
  "disgusted": "厌恶",
  "fear": "恐惧",
  "happy": "高兴",
  "neutral": "平静",
  "sad": "悲伤",
  "surprised": "惊讶",
  "right brow": "右眉",
  "left brow": "左眉",
  "right lid": "右眼皮",
  "left lid": "左眼皮",
  "right corner": "右嘴角",
  "left corner": "左嘴角",
  "lower lip": "下唇",
  "head": "头部",
};

let chinese = false;

/** @param {string} language of the editor, such as "en" or "zh-TW" */
export function setLanguage(language) {
  chinese = language.startsWith("zh");
}

/** @param {string} text @param {unknown[]} values that take the places of {} */
export function tell(text, ...values) {
  let told = (chinese && CHINESE[text]) || text;
  for (const value of values) told = told.replace("{}", String(value));
  return told;
}

/** Every text that has a translation. */
export const KNOWN = Object.keys(CHINESE);
