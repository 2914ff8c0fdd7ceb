// The five languages: which one a text is in, and prompts to begin with.

// Letters that Urdu has and Arabic has not.
const URDU = /[ٹڈڑںےۓہھگچپژکیۂ]/;
const ARABIC = /[\u0600-\u06ff]/;
const DEVANAGARI = /[\u0900-\u097f]/;
const HAN = /[\u3400-\u9fff]/;

/** The language of a text by its letters, for the font and the voice; the direction is the browser's to find. */
export function languageOf(text) {
  if (URDU.test(text)) return "ur";
  if (ARABIC.test(text)) return "ar";
  if (DEVANAGARI.test(text)) return "hi";
  return HAN.test(text) ? "zh" : "en";
}

export const NAMES = { en: "English", zh: "中文", hi: "हिन्दी", ur: "اردو", ar: "العربية" };

export const EXAMPLES = {
  en: [
    "A large green heart moves to the right in front of a cloudy sky.",
    "A small blue star moves diagonally down and to the right in front of a starry night sky.",
    "A yellow ring grows larger on a gradient background.",
  ],
  zh: [
    "一颗红色的爱心正在上下弹跳，背景是多云的天空。",
    "一个较大的洋红色三角形正在向右上方移动，背景是渐变色。",
    "一座较大的洋红色房子正在上下弹跳，背景是多云的天空。",
  ],
  hi: [
    "वीडियो में एक छोटी भूरी नाव नीचे की ओर जा रही है। पृष्ठभूमि में समुद्र है।",
    "वीडियो में एक नारंगी दिल बड़ा हो रहा है। पृष्ठभूमि में घास का मैदान है।",
    "वीडियो में एक भूरा दिल दाईं ओर जा रहा है। पृष्ठभूमि में तारों भरा रात का आसमान है।",
  ],
  ur: [
    "گھاس کے میدان کے سامنے گول چکر لگاتا ہوا ایک چھوٹا نارنجی گھر ہے۔",
    "سرمئی پس منظر پر نیچے بائیں طرف ترچھے چلتی ہوئی ایک سبز گاڑی ہے۔",
    "گھاس کے میدان کے سامنے نیچے کی طرف جاتی ہوئی ایک بڑی کالی مچھلی ہے۔",
  ],
  ar: [
    "يتحرك قلب أخضر كبير إلى اليمين أمام سماء غائمة.",
    "تتحرك حلقة صفراء كبيرة قطريًا نحو أعلى اليسار أمام سماء غائمة.",
    "يقفز بيت فوشي كبير إلى الأعلى والأسفل على خلفية متدرجة.",
  ],
};
