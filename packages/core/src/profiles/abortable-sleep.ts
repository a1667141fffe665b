export { abortableSleep } from '../recorder/abortable-sleep.js';
